"""Which layers are faster sparse, by rule: expected ratios of times, from measurements of single layers.

The figures were measured with one thread on x86-64 with AVX-512, against ONNX Runtime's own operators with all its
optimisations, and are the slower ones of each kind; what reordering pictures between dense and sparse convolutions
costs is added. They leave out first layers and small ones on purpose: measuring (``measure=True``) finds out more than
a rule can know.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from exporters.sparse.layers import Layer
from exporters.sparse.neighbours import Near
from exporters.sparse.storage import Packed

MOST = 0.85
"""Largest expected ratio sparse / dense, in its network, at which a layer becomes sparse."""

AMONG_OTHERS = 1.2
"""What a sparse layer takes in a network, where its input comes from further away, to what it takes alone."""

REORDERED = 8.0
"""Multiply-adds in the time in which ONNX Runtime reorders one element, between blocks of channels and plain order."""

FEWEST_CHANNELS = 16
FEWEST_MACS = 200_000
_LARGE = 1_000_000  # weights; dense products with a single row wait for memory then, and sparse ones for less of it

_MANY_COLUMNS = 512  # channels times places of the kernel, from which laying out the picture hardly counts


@dataclass(frozen=True)
class Expectation:
    """What is expected of a layer.

    Attributes:
        ratio: of its times sparse / dense, alone; None where it stays dense whatever its zeros.
        why: it does.
        before, after: time to reorder its input and its output, to its dense time.
    """

    ratio: float | None
    why: str = ""

    before: float = 0.0
    after: float = 0.0

    def ratio_between(self, *, dense_before: bool, dense_after: bool) -> float | None:
        """Return the ratio in a network; input and output are reordered where dense convolutions are next to them.

        The dense layer was measured alone, where it reorders both.
        """
        if self.ratio is None:
            return None
        taken = AMONG_OTHERS * self.ratio * (1 + self.before + self.after)
        return taken + self.before * dense_before + self.after * dense_after


_Table = Mapping[int, tuple[tuple[float, float], ...]]

# Expected ratio = start + slope * density, for blocks of 1, 2 and 4 rows; by the fewest places that it holds for.
_POINTWISE: _Table = {
    196: ((0.17, 1.5), (0.15, 1.9), (0.15, 1.0)),
    49: ((0.25, 1.9), (0.15, 2.5), (0.15, 1.4)),
    16: ((0.6, 2.0), (0.5, 2.5), (0.5, 1.5)),
}
_SPATIAL = {
    196: ((0.3, 2.2), (0.3, 1.8), (0.3, 1.1)),
    49: ((0.5, 2.4), (0.45, 2.0), (0.45, 1.0)),
    16: ((0.5, 2.6), (0.5, 2.4), (0.4, 1.4)),
}
_SPATIAL_LARGE: _Table = _SPATIAL | {196: ((0.2, 2.0), (0.2, 1.8), (0.2, 1.0))}
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
    if layer.operator != "SparseConv":
        return Expectation(ratio)
    strides = layer.attributes.get("stride_h", 1) * layer.attributes.get("stride_w", 1)
    before = REORDERED * strides / (features * math.prod(layer.kernel))
    return Expectation(ratio, before=before, after=REORDERED / columns)


def choose(expected: Sequence[Expectation | None], near: Sequence[Near]) -> dict[int, float]:
    """Return the layers to make sparse, by number, each with the ratio that is expected of it among the others.

    Args:
        expected: of each layer; None for those that cannot become sparse.
        near: the convolutions before and behind each, by number.
    """
    chosen = {number: 0.0 for number, one in enumerate(expected) if one is not None and one.ratio is not None}
    while True:
        ratios = {number: _among(number, expected, near, chosen) for number in chosen}
        kept = {number: ratio for number, ratio in ratios.items() if ratio <= MOST}
        if len(kept) == len(chosen):
            return kept
        chosen = kept


def _among(
    number: int, expected: Sequence[Expectation | None], near: Sequence[Near], chosen: Mapping[int, float]
) -> float:
    one, (before, after) = expected[number], near[number]
    ratio = None
    if one is not None:
        ratio = one.ratio_between(
            dense_before=any(other not in chosen for other in before),
            dense_after=any(other not in chosen for other in after),
        )
    return math.inf if ratio is None else ratio


def _table(layer: Layer, places: int) -> _Table:
    if layer.operator == "SparseConv":
        if layer.kernel == (1, 1) and "stride_h" not in layer.attributes:
            return _POINTWISE
        return _SPATIAL_LARGE if layer.matrix.shape[1] >= _MANY_COLUMNS else _SPATIAL
    if places == 1:
        return _SINGLE_LARGE if layer.matrix.size >= _LARGE else _SINGLE
    return _PRODUCT
