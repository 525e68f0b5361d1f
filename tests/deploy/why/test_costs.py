"""Multiply-accumulates of nodes, against what the nodes themselves compute when everything is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from deploy.why import costs, graph
from tests.deploy.why import nets

SIZES = st.integers(1, 4)


def only_ones(kind: str, shape: tuple[int, ...], weight: tuple[int, ...], **attributes: Any) -> onnx.ModelProto:
    inner = helper.make_graph(
        [helper.make_node(kind, ["x", "w"], ["y"], name="it", **attributes)],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones(weight, np.float32), "w")],
    )
    return helper.make_model(inner, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def counted_and_computed(model: onnx.ModelProto, shape: tuple[int, ...], path: Path) -> tuple[int | None, int]:
    """The count, and the sum of all outputs: without padding every product of ones adds one to it."""
    onnx.save(model, str(path))
    read = graph.read(path, {"x": shape})
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs: Any = session.run(None, {"x": np.ones(shape, np.float32)})
    return costs.macs(read.nodes["it"], read), round(float(outputs[0].sum()))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("costs") / "one.onnx"


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(["Conv", "ConvTranspose"]), SIZES, SIZES, SIZES, st.integers(1, 3), st.integers(1, 2))
def test_convolutions(path: Path, kind: str, before: int, after: int, groups: int, kernel: int, stride: int) -> None:
    channels, features = before * groups, after * groups
    weight = (features, before, kernel, kernel) if kind == "Conv" else (channels, after, kernel, kernel)
    shape = (2, channels, 5, 4)
    model = only_ones(kind, shape, weight, group=groups, strides=[stride] * 2)
    counted, computed = counted_and_computed(model, shape, path)
    assert counted == computed


@settings(deadline=None, max_examples=30)
@given(SIZES, SIZES, SIZES, st.sampled_from(["MatMul", "Gemm", "Gemm transposed", "batched"]))
def test_products(path: Path, rows: int, inner: int, columns: int, how: str) -> None:
    shape: tuple[int, ...] = (3, rows, inner) if how == "batched" else (rows, inner)
    weight, attributes = (inner, columns), {}
    if how == "Gemm transposed":
        shape, weight, attributes = (inner, rows), (columns, inner), {"transA": 1, "transB": 1}
    kind = "Gemm" if how.startswith("Gemm") else "MatMul"
    counted, computed = counted_and_computed(only_ones(kind, shape, weight, **attributes), shape, path)
    assert counted == computed


def test_einsum_and_recurrent_layers_count_and_others_do_not(tmp_path: Path) -> None:
    made = nets.Builder()
    made.add("Einsum", ["x", made.weight("e", (4, 5))], "einsum", equation="bsi,io->bso")
    weights = [made.weight("w", (1, 12, 5)), made.weight("r", (1, 12, 3))]
    made.add("LSTM", [made.last, *weights], "lstm", hidden_size=3)
    made.add("Softmax", [made.last], "softmax")
    read = graph.read(made.save(tmp_path / "n.onnx", [7, 2, 4]), {"x": (7, 2, 4)})
    counts = [costs.macs(node, read) for node in read.model.graph.node]
    assert counts == [7 * 2 * 4 * 5, 7 * 2 * 12 * (5 + 3), 0]


def test_what_lies_between_fused_nodes_is_not_moved(tmp_path: Path) -> None:
    made = nets.Builder()
    made.convolution("a", (8, 3, 3, 3))
    read = graph.read(made.save(tmp_path / "n.onnx", ["batch", 3, 6, 6]), {"x": (2, 3, 6, 6)})
    nodes = list(read.model.graph.node)
    fused, apart = costs.work(nodes, read), [costs.work([node], read) for node in nodes]
    picture, output = 4 * 2 * 3 * 36, 4 * 2 * 8 * 36
    assert fused.activations == picture + output
    assert [one.activations for one in apart] == [picture + output, 2 * output]
    assert fused.weights == 4 * (8 * 3 * 9 + 8)
    assert fused.width == 8


def test_an_unknown_shape_is_unknown_and_not_zero(tmp_path: Path) -> None:
    made = nets.Builder()
    made.add("NonZero", ["x"], "found")
    made.add("Cast", [made.last], "floats", to=TensorProto.FLOAT)
    made.add("MatMul", [made.weight("w", (5, 2)), made.last], "product")
    read = graph.read(made.save(tmp_path / "n.onnx", [3, 4]), {"x": (3, 4)})
    assert costs.macs(read.nodes["product"], read) is None
    assert costs.work([read.nodes["product"]], read).bytes is None
