"""Windows in float64 are ONNX's: compared with ONNX Runtime, which is another implementation of the standard."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from deploy.compatibility.evaluator import evaluate
from deploy.compatibility.retyping import retyped
from tests.deploy.compatibility.networks import build

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def agree(nodes: list[Any], opset: int = 22, weights: tuple[Any, ...] = ()) -> None:
    model = build(nodes, weights=weights, opset=opset)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    feeds = {"x": np.random.default_rng(1).standard_normal((2, 3, 8, 8)).astype(np.float32)}
    (there,) = session.run(None, feeds)
    (here,) = evaluate(retyped(model, "fp64"), feeds)
    assert here.dtype == np.float64
    assert here.shape == there.shape
    np.testing.assert_allclose(here, there, rtol=1e-4, atol=1e-5)


small = st.integers(1, 3)
pairs = st.tuples(small, small)


@settings(max_examples=40)
@given(
    kernel=pairs,
    strides=pairs,
    dilations=pairs,
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    group=st.sampled_from([1, 3]),
)
def test_convolutions(kernel: Any, strides: Any, dilations: Any, pads: Any, group: int) -> None:
    generator = np.random.default_rng(0)
    weight = numpy_helper.from_array(generator.standard_normal((6, 3 // group, *kernel)).astype(np.float32), "w")
    bias = numpy_helper.from_array(generator.standard_normal(6).astype(np.float32), "b")
    node = helper.make_node(
        "Conv", ["x", "w", "b"], ["y"], strides=strides, dilations=dilations, pads=pads, group=group
    )
    agree([node], weights=(weight, bias))


@pytest.mark.parametrize("how", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("strides", [[1, 1], [3, 2]])
def test_automatic_padding(how: str, strides: list[int]) -> None:
    weight = numpy_helper.from_array(np.random.default_rng(0).standard_normal((4, 3, 3, 2)).astype(np.float32), "w")
    agree([helper.make_node("Conv", ["x", "w"], ["y"], strides=strides, auto_pad=how)], weights=(weight,))
    agree([helper.make_node("MaxPool", ["x"], ["y"], strides=strides, auto_pad=how, kernel_shape=[3, 2])])


@settings(max_examples=40)
@given(
    kind=st.sampled_from(["MaxPool", "AveragePool"]),
    kernel=pairs,
    strides=pairs,
    pads=st.tuples(*[st.integers(0, 2)] * 4),
    ceil=st.booleans(),
    counted=st.booleans(),
)
def test_pooling(kind: str, kernel: Any, strides: Any, pads: Any, ceil: bool, counted: bool) -> None:
    fitting = [min(pad, size - 1) for pad, size in zip(pads, kernel * 2, strict=True)]
    extra: dict[str, Any] = {"count_include_pad": int(counted)} if kind == "AveragePool" else {}
    node = helper.make_node(
        kind, ["x"], ["y"], kernel_shape=kernel, strides=strides, pads=fitting, ceil_mode=int(ceil), **extra
    )
    agree([node])


@pytest.mark.parametrize("opset", [8, 11, 18])
def test_old_opsets_without_dilations(opset: int) -> None:
    agree([helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])], opset=opset)
    agree([helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])], opset=opset)


def test_large_pictures_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.compatibility.windows._MOST_ELEMENTS", 100)
    weight = numpy_helper.from_array(np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32), "w")
    agree([helper.make_node("Conv", ["x", "w"], ["y"], pads=[1] * 4)], weights=(weight,))
