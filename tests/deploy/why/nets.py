"""ONNX networks with one thing about them: odd widths, copies, next to nothing to do, one large product."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Widths = Sequence[tuple[int, int]]
"""Of each inverted residual block: its hidden channels and its output channels."""
DENSE: Widths = ((96, 24), (144, 24), (144, 32), (192, 32), (192, 64), (384, 64))
ROUNDED: Widths = ((48, 16), (80, 16), (80, 16), (96, 16), (112, 48), (208, 48))
UNROUNDED: Widths = ((51, 17), (83, 17), (83, 18), (97, 18), (113, 46), (207, 46))


@dataclass
class Builder:
    """Nodes of a graph, one after the other, from the input ``x``."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)
    last: str = "x"
    seed: int = 0

    def add(self, kind: str, inputs: Sequence[str], name: str, **settings: Any) -> str:
        """Append a node, and return its output, which is called as it is."""
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **settings))
        self.last = name
        return name

    def weight(self, name: str, shape: Sequence[int]) -> str:
        """Add a random weight and return its name."""
        generator = np.random.default_rng(len(self.weights) + self.seed)
        array = generator.standard_normal(shape) * (2 / math.prod(shape[1:])) ** 0.5
        self.weights.append(numpy_helper.from_array(array.astype(np.float32), name))
        return name

    def constant(self, name: str, values: Sequence[int]) -> str:
        """Add integers and return their name."""
        self.weights.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def convolution(
        self, layer: str, shape: Sequence[int], *, groups: int = 1, stride: int = 1, active: bool = True
    ) -> str:
        """Append a convolution with a bias, called after its layer, and a Relu."""
        names = [self.weight(f"{layer}.weight", shape), self.weight(f"{layer}.bias", shape[:1])]
        settings = {"group": groups, "pads": [shape[-1] // 2] * 4, "strides": [stride] * 2}
        self.add("Conv", [self.last, *names], f"{layer}/Conv", **settings)
        return self.add("Relu", [self.last], f"{layer}/Relu") if active else self.last

    def save(self, path: Path, shape: Sequence[int | str], output: Sequence[int | str] | None = None) -> Path:
        """Write the file and return its path."""
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
            [helper.make_tensor_value_info(self.last, TensorProto.FLOAT, output)],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        onnx.save(model, str(path))
        return path


def mobile(path: Path, blocks: Widths, *, stem: int = 16, picture: int = 56, seed: int = 0) -> Path:
    """Write a small MobileNetV2: a stem, inverted residual blocks, pooling and a classifier."""
    made = Builder(seed=seed)
    made.convolution("stem", (stem, 3, 3, 3), stride=2)
    width = stem
    for at, (hidden, out) in enumerate(blocks):
        before = made.last
        made.convolution(f"blocks.{at}.expand", (hidden, width, 1, 1))
        made.convolution(f"blocks.{at}.depthwise", (hidden, 1, 3, 3), groups=hidden, stride=2 if at == 2 else 1)
        made.convolution(f"blocks.{at}.project", (out, hidden, 1, 1), active=False)
        if width == out and at != 2:
            made.add("Add", [before, made.last], f"blocks.{at}.add")
        width = out
    made.add("GlobalAveragePool", [made.last], "pool")
    made.add("Flatten", [made.last], "flatten")
    made.add("Gemm", [made.last, made.weight("head.weight", (10, width))], "head/Gemm", transB=1)
    return made.save(path, ["batch", 3, picture, picture], ["batch", 10])


def copying(path: Path, *, copies: bool) -> Path:
    """Write two convolutions with a product over the channels between them, which ``copies`` surrounds by Transpose."""
    made = Builder()
    made.convolution("first", (32, 3, 3, 3))
    if copies:
        made.add("Transpose", [made.last], "to_last", perm=[0, 2, 3, 1])
        made.add("MatMul", [made.last, made.weight("middle.weight", (32, 32))], "middle/MatMul")
        made.add("Transpose", [made.last], "to_first", perm=[0, 3, 1, 2])
        made.add("Cast", [made.last], "to_double", to=TensorProto.DOUBLE)
        made.add("Sqrt", [made.add("Abs", [made.last], "abs")], "sqrt")
        made.add("Cast", [made.last], "to_float", to=TensorProto.FLOAT)
    else:
        made.convolution("middle", (32, 32, 1, 1))
    made.convolution("last", (16, 32, 3, 3))
    return made.save(path, [1, 3, 64, 64])


def tiny(path: Path, *, layers: int = 30) -> Path:
    """Write many convolutions of four channels on pictures of two by two."""
    made = Builder()
    for at in range(layers):
        made.convolution(f"layers.{at}", (4, 4, 1, 1))
    return made.save(path, [1, 4, 2, 2])


def product(path: Path, *, size: int = 768) -> Path:
    """Write one large matrix product."""
    made = Builder()
    made.add("MatMul", ["x", made.weight("large.weight", (size, size))], "large/MatMul")
    return made.save(path, [1, size, size])


def elementwise(path: Path, *, elements: int = 2**22, layers: int = 4) -> Path:
    """Write operators that look at large tensors once."""
    made = Builder()
    for at in range(layers):
        made.add("Add", [made.last, made.last], f"add.{at}")
    return made.save(path, [1, elements])
