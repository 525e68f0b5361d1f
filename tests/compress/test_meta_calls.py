"""Remembered calls: repeated blocks run once, and what is remembered never stands in for a different call."""

from __future__ import annotations

import pytest
import torch
from torch import fx, nn

from compress import meta_calls
from compress.shapes import meta_values, shapes_of
from tests.compress.networks import Classifier, captured

_aten = torch.ops.aten


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def test_equal_operands_run_once() -> None:
    meta_calls.forget()
    first = meta_calls.call(_aten.relu.default, [meta(2, 3)], {})
    assert meta_calls.call(_aten.relu.default, [meta(2, 3)], {}) is first
    assert meta_calls.remembered() == 1


def test_whatever_decides_the_result_tells_calls_apart() -> None:
    whole = meta(2, 3, dtype=torch.int64)
    assert meta_calls.call(_aten.add.Scalar, [whole, 1], {}).dtype == torch.int64
    assert meta_calls.call(_aten.add.Scalar, [whole, 1.0], {}).dtype == torch.float32
    assert meta_calls.call(_aten.relu.default, [meta(2, 3, dtype=torch.float64)], {}).dtype == torch.float64
    straight, turned = meta(3, 3), meta(3, 3).t()
    assert meta_calls.call(_aten.clone.default, [straight], {}).stride() == (3, 1)
    assert meta_calls.call(_aten.clone.default, [turned], {}).stride() == (1, 3)
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
            meta_calls.call(_aten.mm.default, [meta(2, 3), meta(4, 5)], {})
        with pytest.raises(RuntimeError, match="5 channels with 4 values"):
            meta_calls.call(
                _aten.batch_norm.default, [meta(2, 5), meta(4), None, None, None, True, 0.1, 1e-5, True], {}
            )


def test_a_graph_that_reshapes_in_place_is_run_as_it_is() -> None:
    for _ in range(2):  # the second time nothing that the first left may be taken for the value before reshaping
        graph = fx.Graph()
        x = graph.placeholder("x")
        plus = graph.call_function(_aten.add.Scalar, (x, 1))
        same = graph.call_function(_aten.unsqueeze_.default, (plus, 1))
        again = graph.call_function(_aten.mul.Scalar, (plus, 2))
        graph.output(((same, again),))
        shapes = shapes_of(graph, {}, {"x": ((2, 4), torch.float32)})
        assert shapes[x] == (2, 4)
        assert shapes[same] == shapes[again] == (2, 1, 4)


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
    def storage(tensor: torch.Tensor) -> int:
        return int(tensor.untyped_storage()._cdata)

    for _ in range(2):  # found, then remembered
        x = meta(2, 6)
        turned, parts, sums = (
            meta_calls.call_with_storage(_aten.t.default, [x], {}),
            meta_calls.call_with_storage(_aten.split.Tensor, [x, 2, 1], {}),
            meta_calls.call_with_storage(_aten.add.Tensor, [x, x], {}),
        )
        assert turned.shape == (6, 2)
        assert turned.stride() == (1, 6)
        assert [tuple(part.shape) for part in parts] == [(2, 2)] * 3
        assert {storage(turned), *map(storage, parts)} == {storage(x)}
        assert storage(sums) != storage(x)
        assert storage(meta_calls.call_with_storage(_aten.relu_.default, [x], {})) == storage(x)


def test_remembered_values_equal_values_run_anew() -> None:
    program = captured(Classifier())
    meta_calls.forget()
    for _ in range(2):
        found = meta_values(program.graphs[False], program.tensors, program.input_shapes(batch=2))
        for node, value in found.items():
            if node.op == "call_function":
                plain = meta_calls.run(node.target, *fx.map_arg((node.args, node.kwargs), found.__getitem__))
                assert (plain.shape, plain.stride(), plain.dtype) == (value.shape, value.stride(), value.dtype)


@pytest.mark.parametrize("target", sorted(meta_calls.UNARY | meta_calls.UNARY_IN_PLACE, key=str))
def test_short_cuts_return_what_the_operator_returns(target: torch._ops.OpOverload) -> None:
    for x in (meta(2, 3, 4), meta(4, 3, dtype=torch.float16).t(), meta(2, 1, 1).expand(2, 3, 1)):
        if x.is_contiguous() or target in meta_calls.UNARY:
            found, plain = meta_calls.run(target, [x], {}), target(x)
            assert (found.shape, found.stride(), found.dtype) == (plain.shape, plain.stride(), plain.dtype)
