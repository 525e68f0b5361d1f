"""Which layers are faster sparse, by rule: expected ratios of times, from measurements of single layers.

The figures were measured with one thread on x86-64 with AVX-512, against ONNX Runtime's own operators with all its
optimisations, and are the slower ones of each kind. They leave out first layers and small ones on purpose: measuring
(``measure=True``) finds out more than a rule can know.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from exporters.sparse.layers import Layer
from exporters.sparse.storage import Packed

MOST = 0.6
"""Largest expected ratio sparse / dense at which a layer becomes sparse.

Among other layers a sparse one costs more than alone, up to 1.5 times in MobileNetV2: its input comes from further
away, and dense convolutions beside it reorder theirs.
"""

FEWEST_CHANNELS = 16
FEWEST_MACS = 200_000
_LARGE = 1_000_000  # weights; dense products with a single row wait for memory then, and sparse ones for less of it


@dataclass(frozen=True)
class Expectation:
    """The ratio sparse / dense that is expected of a layer, or why it stays dense whatever its zeros; and in words."""

    ratio: float | None
    why: str

    @property
    def chosen(self) -> bool:
        """Whether the layer becomes sparse by it."""
        return self.ratio is not None and self.ratio <= MOST


_Table = Mapping[int, tuple[tuple[float, float], ...]]

# Expected ratio = start + slope * density, for blocks of 1, 2 and 4 rows; by the fewest places that it holds for.
_POINTWISE: _Table = {
    196: ((0.17, 1.5), (0.15, 1.9), (0.15, 1.0)),
    49: ((0.25, 1.9), (0.15, 2.5), (0.15, 1.4)),
    16: ((0.6, 2.0), (0.5, 2.5), (0.5, 1.5)),
}
_SPATIAL: _Table = {
    196: ((0.3, 2.2), (0.3, 1.8), (0.3, 1.1)),
    49: ((0.5, 2.4), (0.45, 2.0), (0.45, 1.0)),
    16: ((0.5, 2.6), (0.5, 2.4), (0.4, 1.4)),
}
_PRODUCT: _Table = {
    49: ((0.5, 2.5), (0.5, 2.2), (0.5, 1.2)),
    16: ((0.8, 3.0), (0.7, 2.5), (0.7, 2.0)),
}
_SINGLE: _Table = {1: ((1.2, 8.0), (0.8, 5.0), (0.7, 3.0))}
_SINGLE_LARGE: _Table = {1: ((1.0, 8.0), (0.3, 3.5), (0.15, 3.0))}


def expect(layer: Layer, packed: Packed, places: int | None) -> Expectation:
    """Return what is expected of ``layer`` with its weight ``packed``.

    Args:
        places: pixels of its output, or rows of its product, for one sample; None where that is not known.
    """
    features, columns = layer.matrix.shape
    channels = columns // math.prod(layer.kernel)
    if layer.rows_in_group is not None:
        return Expectation(None, "convolutions in groups stay dense by rule")
    if min(features, channels) < FEWEST_CHANNELS:
        return Expectation(None, f"too few channels ({channels} to {features})")
    if places is None:
        return Expectation(None, "the size of its input is not known")
    if features * columns * places < FEWEST_MACS:
        return Expectation(None, f"too small ({features * columns * places} multiply-adds)")
    table = _table(layer, places)
    fewest = max((least for least in table if least <= places), default=None)
    if fewest is None:
        return Expectation(None, f"too few places to compute at once ({places})")
    start, slope = table[fewest][{1: 0, 2: 1, 4: 2}[packed.block]]
    ratio = start + slope * packed.density
    return Expectation(ratio, f"expected at {ratio:.2f} of the dense time")


def _table(layer: Layer, places: int) -> _Table:
    if layer.operator == "SparseConv":
        return _POINTWISE if layer.kernel == (1, 1) and "stride_h" not in layer.attributes else _SPATIAL
    if places == 1:
        return _SINGLE_LARGE if layer.matrix.size >= _LARGE else _SINGLE
    return _PRODUCT
