"""Weights in the pattern 2:4 are recognised, and TensorRT is told of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

import exporters
from compress.errors import UnavailableError
from exporters import _tensorrt
from exporters.two_four import examine, is_two_four
from tests.exporters.sparse.building import model


def two_four(shape: tuple[int, ...], axis: int, seed: int = 0) -> Any:
    """A random array of which the two smallest of each four along ``axis`` are zero."""
    array = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    rows = np.moveaxis(array, axis, -1)  # a view
    for start in range(0, rows.shape[-1] - 3, 4):
        smallest = np.argsort(np.abs(rows[..., start : start + 4]), axis=-1)[..., :2]
        np.put_along_axis(rows[..., start : start + 4], smallest, 0, axis=-1)
    return array


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 1), st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_the_pattern_is_seen_along_its_axis_and_one_more_weight_breaks_it(
    rows: int, fours: int, axis: int, seed: int
) -> None:
    shape = (rows, 4 * fours) if axis else (4 * fours, rows)
    array = two_four(shape, axis, seed)
    assert is_two_four(array, axis)
    place = np.argwhere(array == 0)[seed % np.count_nonzero(array == 0)]
    array[tuple(place)] = 1
    assert not is_two_four(array, axis)


def test_rests_of_fewer_than_four_count_as_filled_up_with_zeros() -> None:
    assert is_two_four(np.ones((3, 2), np.float32), 1)
    assert not is_two_four(np.ones((3, 3), np.float32), 1)


def network() -> onnx.ModelProto:
    """A convolution and a product in the pattern, one product with other zeros, one dense convolution."""
    generator = np.random.default_rng(0)
    constants = {
        "A": two_four((16, 8, 3, 3), 1),
        "B": generator.standard_normal((16, 16, 1, 1)).astype(np.float32),
        "C": two_four((16, 8), 0),
        "D": np.float32(generator.standard_normal((8, 4)) * (np.arange(8) < 4)[:, None]),
    }
    nodes = [
        helper.make_node("Conv", ["X", "A"], ["1"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["1", "B"], ["2"], name="dense"),
        helper.make_node("GlobalAveragePool", ["2"], ["3"]),
        helper.make_node("Flatten", ["3"], ["4"]),
        helper.make_node("Gemm", ["4", "C"], ["5"], name="product"),
        helper.make_node("MatMul", ["5", "D"], ["Y"], name="other zeros"),
    ]
    return onnx.shape_inference.infer_shapes(model(nodes, constants, {"X": ("n", 8, 16, 16)}))


def test_layers_are_told_apart() -> None:
    found = examine(network())
    assert (found.fitting, found.others, found.layers) == (["first", "product"], ["other zeros"], 4)
    text = found.text(has_flag=True, precision="fp16")
    assert text is not None
    assert "2 of 4" in text
    assert "no flag" in str(found.text(has_flag=False, precision="fp16"))


def test_inputs_that_are_no_multiple_of_four_are_skipped_with_the_reason() -> None:
    """FB-8: a depthwise convolution has one input for each output, which is no pattern."""
    constants = {"A": np.ones((8, 1, 3, 3), np.float32), "B": two_four((6, 8, 1, 1), 1), "C": np.zeros((4, 6, 1, 1))}
    nodes = [
        helper.make_node("Conv", ["X", "A"], ["1"], name="depthwise", group=8),
        helper.make_node("Conv", ["1", "B"], ["2"], name="first"),
        helper.make_node("Conv", ["2", "C"], ["Y"], name="six"),
    ]
    constants["C"] = constants["C"].astype(np.float32)
    found = examine(onnx.shape_inference.infer_shapes(model(nodes, constants, {"X": ("n", 8, 16, 16)})))
    assert (found.fitting, found.others, found.layers) == (["first"], [], 3)
    assert found.skipped == {
        "depthwise": "1 inputs are no multiple of four", "six": "6 inputs are no multiple of four"
    }  # fmt: skip


@pytest.mark.parametrize("dense", [False, True])
def test_the_engine_is_built_with_the_flag_where_there_is_such_a_weight(dense: bool, tmp_path: Path) -> None:
    try:
        _tensorrt.find()
    except UnavailableError as error:
        pytest.skip(str(error))
    proto = network()
    if dense:
        for tensor in proto.graph.initializer:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) + np.float32(1), tensor.name))
    onnx.save(proto, tmp_path / "net.onnx")
    exporters.to_tensorrt(tmp_path / "net.onnx", tmp_path / "net.engine", precision="fp16")
    record = json.loads((tmp_path / "net.engine.json").read_text())
    assert ("SPARSE_WEIGHTS" in record["builder_flags"]) is not dense
    assert record["two_four"]["fitting"] == ([] if dense else ["first", "product"])
    assert (record["two_four"]["text"] is None) is dense
