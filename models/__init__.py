"""Model references and definitions: the one place where a name becomes an ``nn.Module``.

A reference is one of::

    torchvision:resnet50                              any constructor that torchvision registers
    timm:mobilenetv3_small_100?num_classes=10         any timm architecture
    models:resnet20?shortcut=b                        the networks defined in this package
    path/file.py:factory?width=8                      a function or class in the user's own file

Weights are always random: nothing is downloaded. Importing this package imports neither torch nor torchvision.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.references import (
        ModelReference,
        Reference,
        create,
        default_input,
        example_inputs,
        list_models,
        load_reference,
        parse,
        preprocessing,
    )
    from models.user_code import load_function

__all__ = [
    "ModelReference",
    "Reference",
    "create",
    "default_input",
    "example_inputs",
    "list_models",
    "load_function",
    "load_reference",
    "parse",
    "preprocessing",
]

_HOMES = dict.fromkeys(__all__, "models.references") | {"load_function": "models.user_code"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name in ("references", "torchvision_shim", "user_code"):
        return importlib.import_module(f"models.{name}")
    raise AttributeError(f"module 'models' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
