"""A small residual network as an ONNX file, and slower ones that do a little more of the same work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STAGES = ((16, 1), (32, 2), (64, 2))
BLOCKS = 3
SIDE = 48
EXTRA_WIDTH = 16
EXTRA_STRIDE = 3


class _Writer:
    def __init__(self) -> None:
        self.generator = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def convolution(self, source: str, name: str, width_in: int, width: int, *, stride: int = 1) -> str:
        weight = self.generator.standard_normal((width, width_in, 3, 3)) * (2 / (9 * width_in)) ** 0.5
        self.weights.append(numpy_helper.from_array(weight.astype(np.float32), f"{name}.weight"))
        self.node("Conv", [source, f"{name}.weight"], name, pads=[1] * 4, strides=[stride] * 2)
        return self.node("Relu", [name], f"{name}.relu")

    def node(self, kind: str, sources: list[str], name: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, sources, [name], name=name, **attributes))
        return name


def write(path: Path, extra: int) -> None:
    """Write the network with ``extra`` more 3 x 3 convolutions (16 channels, 16 x 16), each about 1 % of its time.

    Three stages of three residual blocks, as ResNet-20, on 48 x 48 images: 92 M multiply-accumulates.
    """
    writer = _Writer()
    tensor, width = writer.convolution("input", "stem", 3, STAGES[0][0]), STAGES[0][0]
    side = writer.convolution(tensor, "side", width, EXTRA_WIDTH, stride=EXTRA_STRIDE)
    for index in range(extra):
        side = writer.convolution(side, f"extra{index}", EXTRA_WIDTH, EXTRA_WIDTH)
    for number, (channels, stride) in enumerate(STAGES):
        for block in range(BLOCKS):
            name, first = f"stage{number}.{block}", block == 0
            inner = writer.convolution(tensor, f"{name}.conv1", width, channels, stride=stride if first else 1)
            outer = writer.convolution(inner, f"{name}.conv2", channels, channels)
            tensor = outer if first and number else writer.node("Add", [tensor, outer], f"{name}.add")
            width = channels
    heads = [writer.node("GlobalAveragePool", [found], f"pool{at}") for at, found in enumerate((tensor, side))]
    writer.node("Concat", heads, "output", axis=1)
    graph = helper.make_graph(
        writer.nodes,
        "gate",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, width + EXTRA_WIDTH, 1, 1])],
        writer.weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
