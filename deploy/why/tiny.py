"""ONNX files of a few nodes, made to be measured: one layer alone, or a chain of one operator."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

_OPSET, _IR = 17, 8  # what every runtime that is supported reads


def chain(kind: str, count: int, shape: Sequence[int], *, inputs: int = 1) -> onnx.ModelProto:
    """Return ``count`` operators of one kind, each reading the last one's output (``inputs`` of it) of ``shape``."""
    from onnx import helper

    nodes = [helper.make_node(kind, [f"v{at}"] * inputs, [f"v{at + 1}"], name=f"n{at}") for at in range(count)]
    return _model(nodes, {"v0": shape}, {f"v{count}": shape}, {})


def convolutions(
    widths: Sequence[int], picture: int, kernel: int, *, groups: int = 1, stride: int = 1, batch: int = 1
) -> onnx.ModelProto:
    """Return convolutions one behind the other: from ``widths[0]`` channels to ``widths[1]`` and so on.

    Square pictures of ``picture``, random weights, each followed by the activation that runtimes fuse (Relu).
    """
    from onnx import helper

    nodes, weights = [], {}
    generator = np.random.default_rng(0)
    for at, (before, after) in enumerate(itertools.pairwise(widths)):
        weights[f"w{at}"] = _random(generator, (after, before // groups, kernel, kernel))
        settings: dict[str, Any] = {
            "kernel_shape": [kernel] * 2,
            "pads": [kernel // 2] * 4,
            "group": groups,
            "strides": [stride] * 2,
        }
        nodes.append(helper.make_node("Conv", [f"v{at}", f"w{at}"], [f"c{at}"], name=f"conv{at}", **settings))
        nodes.append(helper.make_node("Relu", [f"c{at}"], [f"v{at + 1}"], name=f"relu{at}"))
    last = f"v{len(widths) - 1}"
    return _model(nodes, {"v0": (batch, widths[0], picture, picture)}, {last: None}, weights)


def product(rows: int, inner: int, columns: int) -> onnx.ModelProto:
    """Return one product of an input (``rows``, ``inner``) with a weight (``inner``, ``columns``)."""
    from onnx import helper

    weight = _random(np.random.default_rng(0), (inner, columns))
    nodes = [helper.make_node("MatMul", ["v0", "w"], ["v1"], name="product")]
    return _model(nodes, {"v0": (rows, inner)}, {"v1": (rows, columns)}, {"w": weight})


def save(model: onnx.ModelProto, path: Path) -> Path:
    """Write the model and return its path."""
    import onnx

    onnx.save(model, str(path))
    return path


def _random(generator: np.random.Generator, shape: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float32]]:
    scale = float(np.prod(shape[1:])) ** -0.5
    return (generator.standard_normal(shape) * scale).astype(np.float32)


def _model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int]],
    outputs: Mapping[str, Sequence[int] | None],
    weights: Mapping[str, np.ndarray[Any, np.dtype[np.float32]]],
) -> onnx.ModelProto:
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        list(nodes),
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
