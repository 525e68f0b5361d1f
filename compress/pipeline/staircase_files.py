"""Small ONNX files of one kind of layer at one width, for the staircase of a runtime."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

WIDTHS = (8, 12, 16, 20, 24, 30, 32, 40, 48, 56, 64, 65, 66, 68, 72, 80, 96, 112, 128)
"""What is measured: multiples of every power of two up to 64, and some of none."""
_OTHER = 64  # channels before and after the width in question
_REPEATS = 3
_PICTURE, _SMALL, _ROWS = 28, 14, 49

Weight = np.ndarray[Any, np.dtype[np.float32]]


def build(kind: str, width: int) -> onnx.ModelProto:
    """Return a file in which layers of ``kind`` (of :data:`compress.latency.staircase.KINDS`) produce and consume
    ``width`` channels several times.
    """
    from compress.latency.staircase import KINDS

    pointwise, spatial, depthwise, linear = KINDS
    chain = [_OTHER, *([width, _OTHER] * _REPEATS)]
    if kind == linear:
        return _products(chain)
    if kind == depthwise:
        layers = [(width, 1, 1), *[(width, 3, width)] * (2 * _REPEATS), (_OTHER // 4, 1, 1)]
        return _convolutions(_OTHER // 4, layers, _PICTURE)
    kernel, picture = {pointwise: (1, _PICTURE), spatial: (3, _SMALL)}[kind]
    return _convolutions(_OTHER, [(after, kernel, 1) for after in chain[1:]], picture)


def _convolutions(channels: int, layers: Sequence[tuple[int, int, int]], picture: int) -> onnx.ModelProto:
    """``layers`` are output channels, kernel and groups; each is followed by the activation that runtimes fuse."""
    from onnx import helper

    shape, nodes, weights = [1, channels, picture, picture], [], {}
    for at, (after, kernel, groups) in enumerate(layers):
        weights[f"w{at}"] = _random((after, channels // groups, kernel, kernel), at)
        settings: dict[str, Any] = {"kernel_shape": [kernel] * 2, "pads": [kernel // 2] * 4, "group": groups}
        nodes += [
            helper.make_node("Conv", [f"v{at}", f"w{at}"], [f"c{at}"], name=f"conv{at}", **settings),
            helper.make_node("Relu", [f"c{at}"], [f"v{at + 1}"], name=f"relu{at}"),
        ]
        channels = after
    return _model(nodes, shape, [1, channels, picture, picture], weights)


def _products(widths: Sequence[int]) -> onnx.ModelProto:
    from onnx import helper

    weights = {f"w{at}": _random((before, after), at) for at, (before, after) in enumerate(itertools.pairwise(widths))}
    nodes = [
        helper.make_node("MatMul", [f"v{at}", f"w{at}"], [f"v{at + 1}"], name=f"product{at}")
        for at in range(len(widths) - 1)
    ]
    return _model(nodes, [1, _ROWS, widths[0]], [1, _ROWS, widths[-1]], weights)


def _random(shape: tuple[int, ...], seed: int) -> Weight:
    fan_in = shape[0] if len(shape) == 2 else int(np.prod(shape[1:]))
    return (np.random.default_rng(seed).standard_normal(shape) * fan_in**-0.5).astype(np.float32)


def _model(
    nodes: Sequence[onnx.NodeProto], shape: Sequence[int], after: Sequence[int], weights: dict[str, Weight]
) -> onnx.ModelProto:
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        list(nodes),
        "staircase",
        [helper.make_tensor_value_info("v0", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, list(after))],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
