"""Remembered calls: repeated blocks run once, and what is remembered never stands in for a different call."""

from __future__ import annotations

import pytest
import torch
from torch import fx, nn

from compress import meta_calls
from compress.blank import Blank
from compress.shapes import meta_values, shapes_of
from tests.compress.networks import Classifier, captured

_aten = torch.ops.aten


def blank(*shape: int, dtype: torch.dtype = torch.float32) -> Blank:
    return Blank.of(torch.empty(shape, dtype=dtype, device="meta"))


def test_equal_operands_run_once() -> None:
    meta_calls.forget()
    first = meta_calls.call(_aten.relu.default, [blank(2, 3)], {})
    second = meta_calls.call(_aten.relu.default, [blank(2, 3)], {})
    assert first.key == second.key
    assert first.storage is not second.storage
    assert meta_calls.remembered() == 1


def test_whatever_decides_the_result_tells_calls_apart() -> None:
    whole = blank(2, 3, dtype=torch.int64)
    assert meta_calls.call(_aten.add.Scalar, [whole, 1], {}).dtype == torch.int64
    assert meta_calls.call(_aten.add.Scalar, [whole, 1.0], {}).dtype == torch.float32
    assert meta_calls.call(_aten.relu.default, [blank(2, 3, dtype=torch.float64)], {}).dtype == torch.float64
    straight, turned = blank(3, 3), Blank.of(torch.empty(3, 3).t())
    assert meta_calls.call(_aten.clone.default, [straight], {}).strides == (3, 1)
    assert meta_calls.call(_aten.clone.default, [turned], {}).strides == (1, 3)
    assert meta_calls.call(_aten.sum.dim_IntList, [straight, [0]], {}).shape == (3,)
    assert meta_calls.call(_aten.sum.dim_IntList, [straight, [0]], {"keepdim": True}).shape == (1, 3)


def test_numbers_are_never_remembered() -> None:
    meta_calls.forget()
    for value in (2, 5):
        found = meta_calls.call(_aten.mul.Tensor, [torch.tensor([value]), torch.tensor([3])], {})
        assert found.tolist() == [value * 3]
    assert meta_calls.remembered() == 0


def test_errors_are_raised_every_time() -> None:
    for _ in range(2):
        with pytest.raises(RuntimeError):
            meta_calls.call(_aten.mm.default, [blank(2, 3), blank(4, 5)], {})
        with pytest.raises(RuntimeError, match="5 channels with 4 values"):
            meta_calls.call(
                _aten.batch_norm.default, [blank(2, 5), blank(4), None, None, None, True, 0.1, 1e-5, True], {}
            )


def test_a_graph_that_reshapes_in_place_is_run_as_it_is() -> None:
    for _ in range(2):  # the second time nothing that the first left may be taken for the value before reshaping
        graph = fx.Graph()
        x = graph.placeholder("x")
        plus = graph.call_function(_aten.add.Scalar, (x, 1))
        same = graph.call_function(_aten.unsqueeze_.default, (plus, 1))
        again = graph.call_function(_aten.mul.Scalar, (plus, 2))
        graph.output(((same, again),))
        inputs = {"x": ((2, 4), torch.float32)}
        shapes = shapes_of(graph, {}, inputs)
        assert shapes[x] == (2, 4)
        assert shapes[same] == shapes[again] == (2, 1, 4)
        values = meta_values(graph, {}, inputs)
        assert values[same].storage == values[plus].storage != values[again].storage


def test_repeated_blocks_are_run_once() -> None:
    def calls(depth: int) -> int:
        block = [part for _ in range(depth) for part in (nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())]
        program = captured(nn.Sequential(nn.Conv2d(3, 8, 3), *block))
        meta_calls.forget()
        for graph in program.graphs.values():
            shapes_of(graph, program.tensors, program.input_shapes(batch=2))
        return meta_calls.remembered()

    assert calls(12) == calls(3)


def test_views_share_their_operands_storage_and_nothing_else_does() -> None:
    for _ in range(2):  # found, then remembered
        x = blank(2, 6)
        turned = meta_calls.call(_aten.t.default, [x], {})
        parts = meta_calls.call(_aten.split.Tensor, [x, 2, 1], {})
        assert turned.key == ((6, 2), (1, 6), torch.float32)
        assert [part.shape for part in parts] == [(2, 2)] * 3
        assert {turned.storage, *(part.storage for part in parts)} == {x.storage}
        assert meta_calls.call(_aten.add.Tensor, [x, x], {}).storage is not x.storage
        assert meta_calls.call(_aten.relu_.default, [x], {}).storage is x.storage
        assert meta_calls.call(_aten.add_.Tensor, [x, blank(6)], {}).storage is x.storage
        assert meta_calls.call(_aten.t.default, [turned], {}).storage is x.storage


def test_remembered_values_equal_values_run_anew() -> None:
    program = captured(Classifier())
    meta_calls.forget()
    for _ in range(2):
        found = meta_values(program.graphs[False], program.tensors, program.input_shapes(batch=2))
        tensors = {node: value.meta() for node, value in found.items() if isinstance(value, Blank)}
        for node, value in found.items():
            if node.op == "call_function":
                args, kwargs = fx.map_arg((node.args, node.kwargs), tensors.__getitem__)
                assert callable(node.target)
                assert Blank.of(node.target(*args, **kwargs)).key == value.key
