"""Dense against sparse on this machine: one layer, or whole networks, in pairs of runs in random order."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from compress.operators import DOMAIN
from exporters._runtime import Array, Feed, Session
from exporters.sparse.storage import Packed

if TYPE_CHECKING:
    import onnx

    from exporters.sparse.layers import Layer

OPSET = 17
_FEWEST, _MOST = 11, 400
_SHORTEST = 2e-4  # seconds; what is shorter is run several times in a row


@dataclass(frozen=True)
class Paired:
    """Times of one run in milliseconds, and the median ratio sparse / dense with a 95 % interval (sign test)."""

    dense: float
    sparse: float
    ratio: float
    low: float
    high: float
    pairs: int


def compare(dense: Session, sparse: Session, feed: Feed, *, seconds: float, seed: int = 0) -> Paired:
    """Run both on ``feed`` in pairs for about ``seconds``, at least 11 pairs."""

    def repeated(session: Session, times: int) -> Callable[[], float]:
        def run() -> float:
            start = time.perf_counter()
            for _ in range(times):
                session.run(feed)
            return (time.perf_counter() - start) / times

        return run

    once = [repeated(session, 1) for session in (dense, sparse)]
    warm = [min(call() for _ in range(4)) for call in once]
    calls = [
        repeated(session, max(1, math.ceil(_SHORTEST / took)))
        for session, took in zip((dense, sparse), warm, strict=True)
    ]
    order = random.Random(seed)
    pairs: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while len(pairs) < _FEWEST or (time.perf_counter() < end and len(pairs) < _MOST):
        if order.random() < 0.5:
            first = calls[0]()
            pairs.append((first, calls[1]()))
        else:
            second = calls[1]()
            pairs.append((calls[0](), second))
    ratios = sorted(second / first for first, second in pairs)
    reach = 0.98 * math.sqrt(len(ratios))
    low, high = (ratios[min(len(ratios) - 1, max(0, round((len(ratios) - 1) / 2 + side * reach)))] for side in (-1, 1))
    times = (median(first for first, _ in pairs) * 1e3, median(second for _, second in pairs) * 1e3)
    return Paired(*times, median(ratios), low, high, len(pairs))


def compare_layer(
    layer: Layer, packed: Packed, x: tuple[int, ...], library: Path, *, threads: int, seconds: float
) -> Paired:
    """Compare ONNX Runtime's own operator for the layer with the sparse one, on an input of the shape ``x``."""
    feed: Feed = {"X": np.random.default_rng(0).standard_normal(x).astype(np.float32)}
    dense, sparse = (
        Session(model.SerializeToString(), where=layer.name, threads=threads, library=library, measured=True)
        for model in (_dense(layer, x), _sparse(layer, packed, x))
    )
    return compare(dense, sparse, feed, seconds=seconds)


def _sparse(layer: Layer, packed: Packed, x: tuple[int, ...]) -> onnx.ModelProto:
    from onnx import helper

    constants = {"values": packed.values, "mask": packed.mask} | ({} if layer.bias is None else {"bias": layer.bias})
    attributes: dict[str, Any] = {name: v for name, v in layer.attributes.items() if name not in ("low", "high")}
    node = helper.make_node(layer.operator, ["X", *constants], ["Y"], domain=DOMAIN, block=packed.block, **attributes)
    return _model([node], constants, x)


def _dense(layer: Layer, x: tuple[int, ...]) -> onnx.ModelProto:
    from onnx import helper

    bias: dict[str, Array] = {} if layer.bias is None else {"bias": layer.bias}
    if layer.operator == "SparseMatMul":
        if len(x) == 2:
            gemm = helper.make_node("Gemm", ["X", "W", *bias], ["Y"], transB=1)
            return _model([gemm], {"W": layer.matrix} | bias, x)
        nodes = [helper.make_node("MatMul", ["X", "W"], ["P" if bias else "Y"])]
        nodes += [helper.make_node("Add", ["P", "bias"], ["Y"])] if bias else []
        return _model(nodes, {"W": np.ascontiguousarray(layer.matrix.T)} | bias, x)
    a = {"stride_h": 1, "stride_w": 1, "dilation_h": 1, "dilation_w": 1, "group": 1} | layer.attributes
    height, width = layer.kernel
    conv = helper.make_node(
        "Conv",
        ["X", "W", *bias],
        ["Y"],
        kernel_shape=[height, width],
        strides=[a["stride_h"], a["stride_w"]],
        dilations=[a["dilation_h"], a["dilation_w"]],
        pads=[a.get(f"pad_{side}", 0) for side in ("top", "left", "bottom", "right")],
        group=a["group"],
    )
    weight = layer.matrix.reshape(len(layer.matrix), -1, height, width)
    return _model([conv], {"W": weight} | bias, x)


def _model(nodes: list[onnx.NodeProto], constants: Mapping[str, Array], x: tuple[int, ...]) -> onnx.ModelProto:
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, x)],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in constants.items()],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)], ir_version=8
    )
