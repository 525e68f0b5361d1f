"""One rule per ATen operator. Importing this package registers them all; a new operator is a new rule, nothing else."""

from compress.axes.rules import (
    _convolution,
    _elementwise,
    _indexing,
    _joining,
    _linear,
    _normalisation,
    _pooling,
    _product,
    _recurrent,
    _shaping,
    _windows,
)

__all__ = [
    "_convolution",
    "_elementwise",
    "_indexing",
    "_joining",
    "_linear",
    "_normalisation",
    "_pooling",
    "_product",
    "_recurrent",
    "_shaping",
    "_windows",
]
