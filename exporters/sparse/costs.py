"""How long a layer is expected to take dense and sparse: sums of what it computes and moves, fitted to measurements.

The figures are microseconds of one thread on x86-64 with AVX-512 (Zen 5), fitted by ``benchmarks/sparse_costs.py`` to
profiles of MobileNetV1, MobileNetV2, ResNet-18, ResNet-50 and EfficientNet-B0: of 1,427 layers, each dense and sparse,
eight in ten are within a quarter. Only their proportions matter to a choice. Dense convolutions are those of ONNX
Runtime between other dense ones, in blocks of channels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from exporters.sparse.layers import Layer
from exporters.sparse.sizes import Shape, places_of
from exporters.sparse.storage import Packed

_REORDER, _REORDER_FAR = 0.075, 0.115
"""Of a thousand elements between blocks of channels and plain order; of pictures beyond the second cache."""
_FAR = 512.0
_REORDER_CALL = 3.0

_VECTOR = 16  # multiply-adds of one instruction
_K_BLOCK = 96  # columns that single rows take at a time (native/weights.cpp)
_BLOCKED_FROM = 4  # channels; with fewer, ONNX Runtime reads plain order


@dataclass(frozen=True)
class Expectation:
    """What is expected of a layer, in microseconds.

    Attributes:
        dense: its time as it is.
        sparse: its time as a sparse operator; None where it stays dense whatever its zeros.
        why: it does.
        reorder_in, reorder_out: time to reorder its input, and its output; 0 for products.
    """

    dense: float
    sparse: float | None
    why: str = ""
    reorder_in: float = 0.0
    reorder_out: float = 0.0


@dataclass(frozen=True)
class Work:
    """Thousands of what a layer computes and moves: multiply-adds by vectors, elements; ``rows`` and ``columns`` by
    vectors that are written and laid out.
    """

    dense: float
    sparse: float
    rows: float
    columns: float
    inputs: float
    outputs: float
    weights: float


_DENSE: Mapping[str, Mapping[str, float]] = {
    "pointwise": {"dense": 0.130, "inputs": 0.018, "outputs": 0.080, "weights": 0.109, "call": 5.1},
    "spatial": {"dense": 0.128, "inputs": 0.035, "weights": 0.165, "call": 6.2},
    "depthwise": {"dense": 0.203, "inputs": 0.067, "call": 13.9},
    "strided depthwise": {"dense": 0.115, "inputs": 0.063, "weights": 0.955, "call": 1.6},
    "first": {"dense": 0.096, "outputs": 0.369},
}
_SPARSE: Mapping[tuple[str, int], Mapping[str, float]] = {
    ("pointwise", 1): {"sparse": 0.259, "rows": 0.793, "columns": 0.550, "call": 9.2},
    ("pointwise", 2): {"sparse": 0.292, "rows": 0.397, "columns": 0.257, "call": 6.4},
    ("pointwise", 4): {"sparse": 0.184, "rows": 2.450, "columns": 0.172, "call": 8.1},
    ("spatial", 1): {"sparse": 0.232, "rows": 1.970, "call": 12.0},
    ("spatial", 2): {"sparse": 0.297, "columns": 0.682, "inputs": 0.008, "call": 7.7},
    ("spatial", 4): {"sparse": 0.210, "columns": 0.245, "inputs": 0.042, "call": 8.1},
    ("depthwise", 1): {"sparse": 0.253, "rows": 0.703, "columns": 1.360, "call": 21.4},
    ("strided depthwise", 1): {"sparse": 0.353, "rows": 7.180, "columns": 5.890, "call": 11.2},
    ("first", 4): {"sparse": 0.154, "outputs": 0.420},
}

# Matrix products: expected ratio = start + slope * density, for blocks of 1, 2 and 4 rows; by the fewest rows of X.
_Table = Mapping[int, tuple[tuple[float, float], ...]]
_PRODUCT: _Table = {
    49: ((0.5, 2.5), (0.5, 2.2), (0.5, 1.2)),
    16: ((0.8, 3.0), (0.7, 2.5), (0.7, 2.0)),
}
_PRODUCT_LARGE: _Table = {
    49: ((0.3, 1.5), (0.2, 1.9), (0.15, 1.4)),
    16: ((0.5, 2.6), (0.25, 1.8), (0.25, 1.3)),
}
_LARGE_MACS: Mapping[int, int] = {49: 20_000_000, 16: 4_000_000}
_SINGLE: _Table = {1: ((1.2, 8.0), (0.3, 5.0), (0.25, 4.0))}
_SINGLE_LARGE: _Table = {1: ((1.0, 8.0), (0.3, 3.5), (0.15, 3.0))}
_LARGE = 1_000_000  # weights; dense products with a single row wait for memory then, and sparse ones for less of it
_DENSE_PRODUCT = 0.15
_FEWEST_MACS = 200_000


def expect(layer: Layer, packed: Packed, x: Shape | None, output: Shape | None) -> Expectation | str:
    """Return what is expected of ``layer`` with its weight ``packed``, or why nothing can be.

    Args:
        x, output: shapes of its input and output, the batch included, as far as they are known.
    """
    places = places_of(layer.operator, output)
    if x is None or output is None or places is None or None in x or None in output:
        return "the size of its input is not known"
    batch = output[0] if layer.operator == "SparseConv" else 1
    total = places * (batch or 1)
    if layer.operator != "SparseConv":
        return _product(layer, packed, total)
    work = work_of(layer, packed, math.prod(size or 0 for size in x), total)
    kind = kind_of(layer)
    reorder = _reorder(work.inputs), _reorder(work.outputs)
    if kind == "grouped":
        return Expectation(_sum(_DENSE["spatial"], work), None, "convolutions in groups stay dense by rule", *reorder)
    dense = _sum(_DENSE[kind], work)
    if places < _VECTOR and kind not in ("depthwise", "strided depthwise"):
        return Expectation(dense, None, f"too few places to compute at once ({places})", *reorder)
    sparse = _sum(_SPARSE.get((kind, packed.block)) or _SPARSE["spatial", packed.block], work)
    return Expectation(dense, sparse, "", 0.0 if kind == "first" else reorder[0], reorder[1])


def kind_of(layer: Layer) -> str:
    if layer.rows_in_group is not None:
        kernel = set(layer.kernel)
        is_depthwise = layer.rows_in_group == 1 and layer.matrix.shape[1] == math.prod(layer.kernel)
        plain = "strided depthwise" if "stride_h" in layer.attributes else "depthwise"
        return plain if is_depthwise and kernel in ({3}, {5}) else "grouped"
    if layer.matrix.shape[1] // math.prod(layer.kernel) < _BLOCKED_FROM:
        return "first"
    return "pointwise" if layer.kernel == (1, 1) and "stride_h" not in layer.attributes else "spatial"


def work_of(layer: Layer, packed: Packed, inputs: int, places: int) -> Work:
    features, columns = layer.matrix.shape
    vectors = -(-places // _VECTOR) / 1e3
    k_blocks = -(-columns // _K_BLOCK) if packed.block == 1 else 1
    return Work(
        dense=features * columns * places / _VECTOR / 1e3,
        sparse=packed.values.size * vectors,
        rows=features / packed.block * k_blocks * vectors,
        columns=columns * vectors,
        inputs=inputs / 1e3,
        outputs=features * places / 1e3,
        weights=features * columns / 1e3,
    )


def _reorder(elements: float) -> float:
    """Microseconds for thousands of elements."""
    return _REORDER_CALL + elements * (_REORDER if elements < _FAR else _REORDER_FAR)


def _sum(prices: Mapping[str, float], work: Work) -> float:
    return sum(price * (1.0 if what == "call" else float(getattr(work, what))) for what, price in prices.items())


def _product(layer: Layer, packed: Packed, rows: int) -> Expectation:
    features, columns = layer.matrix.shape
    macs = features * columns * rows
    dense = _DENSE_PRODUCT * macs / _VECTOR / 1e3
    if macs < _FEWEST_MACS:
        return Expectation(dense, None, f"too small ({macs} multiply-adds)")
    if rows == 1:
        fewest, table = 1, _SINGLE_LARGE if layer.matrix.size >= _LARGE else _SINGLE
    else:
        fewest = max((least for least in _PRODUCT if least <= rows), default=0)
        if not fewest:
            return Expectation(dense, None, f"too few rows to compute at once ({rows})")
        table = _PRODUCT_LARGE if macs >= _LARGE_MACS[fewest] else _PRODUCT
    start, slope = table[fewest][{1: 0, 2: 1, 4: 2}[packed.block]]
    return Expectation(dense, dense * (start + slope * packed.density))
