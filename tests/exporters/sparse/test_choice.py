"""The rule: what is expected of a layer, and which layers are chosen among their neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from exporters.sparse import layers
from exporters.sparse.choice import CAUTION, choose
from exporters.sparse.costs import Expectation, expect
from exporters.sparse.layers import Layer
from exporters.sparse.neighbours import Near, neighbours
from exporters.sparse.storage import Packed, block_of, pack
from tests.exporters.sparse.building import model

NOWHERE = (frozenset[int](), frozenset[int]())


def test_convolutions_are_neighbours_through_what_keeps_the_order_of_pictures() -> None:
    nodes = [
        helper.make_node("Conv", ["X", "W"], ["1"]),
        helper.make_node("Relu", ["1"], ["2"]),
        helper.make_node("Conv", ["2", "W"], ["3"]),
        helper.make_node("Add", ["3", "2"], ["4"]),
        helper.make_node("Reshape", ["4", "S"], ["5"]),
        helper.make_node("Conv", ["5", "W"], ["Y"]),
    ]
    graph = ir.from_proto(model(nodes, {}, {"X": (1, 8, 8, 8), "W": (8, 8, 1, 1), "S": (4,)})).graph
    convolutions = [node for node in graph if node.op_type == "Conv"]
    assert neighbours(convolutions) == [
        (frozenset(), frozenset({1})),
        (frozenset({0}), frozenset()),
        NOWHERE,
    ]


def in_a_row(count: int) -> list[Near]:
    return [
        (frozenset({number - 1} if number else ()), frozenset({number + 1} if number + 1 < count else ()))
        for number in range(count)
    ]


@pytest.mark.parametrize(("sparse", "chosen"), [(20.0, {0}), (99.0, set())])
def test_a_layer_on_its_own_is_chosen_by_its_times_and_with_caution(sparse: float, chosen: set[int]) -> None:
    assert choose([Expectation(100.0, sparse)], [NOWHERE]) == chosen
    assert choose([Expectation(100.0, None, "grouped"), None], [NOWHERE, NOWHERE]) == set()


def test_what_reordering_costs_more_than_it_gains_stays_dense() -> None:
    dense = Expectation(100.0, None, reorder_out=20.0)
    barely = Expectation(50.0, 20.0, reorder_out=20.0)
    assert choose([dense, barely, dense], in_a_row(3)) == set()
    assert choose([dense, Expectation(100.0, 20.0, reorder_out=20.0), dense], in_a_row(3)) == {1}


def test_layers_without_a_gain_of_their_own_join_their_neighbours() -> None:
    """As depthwise filters and first layers do: slower themselves, but pictures then stay in one order."""
    good, slower = Expectation(100.0, 20.0, reorder_out=15.0), Expectation(20.0, 25.0, reorder_out=15.0)
    assert choose([good, slower, good, slower, good], in_a_row(5)) == {0, 1, 2, 3, 4}
    assert choose([good, Expectation(20.0, 90.0, reorder_out=15.0), good], in_a_row(3)) == {0, 2}


@given(
    st.lists(st.tuples(st.floats(1, 100), st.none() | st.floats(1, 100), st.floats(0, 50)), min_size=1, max_size=8),
    st.data(),
)
def test_no_single_change_makes_a_choice_better_and_dense_is_never_better(
    times: list[tuple[float, float | None, float]], data: st.DataObject
) -> None:
    expected = [Expectation(dense, sparse, reorder_out=out) for dense, sparse, out in times]
    near = in_a_row(len(expected))

    def total(chosen: set[int]) -> float:
        found = 0.0
        for number, one in enumerate(expected):
            found += CAUTION * (one.sparse or 0.0) if number in chosen else one.dense
            after = near[number][1]
            mixed = any((other in chosen) != (number in chosen) for other in after)
            found += one.reorder_out * (mixed or not (after or number in chosen))
        return found

    chosen = choose(expected, near)
    free = [number for number, one in enumerate(expected) if one.sparse is not None]
    assert chosen <= set(free)
    assert total(chosen) <= total(set()) + 1e-6
    if free:
        assert total(chosen) <= total(chosen ^ {data.draw(st.sampled_from(free))}) + 1e-6


def layer_of(weight: np.ndarray[Any, Any], **attributes: Any) -> tuple[Layer, Packed]:
    nodes = [helper.make_node("Conv", ["X", "W"], ["Y"], **attributes)]
    group = attributes.get("group", 1)
    x = (1, weight.shape[1] * group, 28, 28)
    graph = ir.from_proto(model(nodes, {"W": weight}, {"X": x}))
    [(_, found)] = layers.find(graph)
    assert isinstance(found, Layer)
    return found, pack(found.matrix, block_of(found.matrix, found.rows_in_group))


def expected_of(weight: np.ndarray[Any, Any], **attributes: Any) -> Expectation:
    layer, packed = layer_of(weight.astype(np.float32), **attributes)
    group = attributes.get("group", 1)
    found = expect(layer, packed, (1, weight.shape[1] * group, 28, 28), (1, len(weight), 28, 28))
    assert isinstance(found, Expectation)
    return found


def test_more_zeros_take_less_time_and_blocks_less_than_single_weights() -> None:
    chance = np.random.default_rng(0)
    full = chance.standard_normal((64, 64, 1, 1))

    def sparse(density: float, block: int) -> float:
        kept = np.repeat(chance.random((64 // block, 64, 1, 1)) < density, block, 0)
        return expected_of(full * kept).sparse or 0.0

    assert sparse(0.1, 1) < sparse(0.3, 1) < sparse(0.8, 1)
    assert sparse(0.2, 4) < sparse(0.2, 1)


def test_filters_of_single_channels_may_be_sparse_and_other_groups_may_not() -> None:
    chance = np.random.default_rng(0)
    depthwise = expected_of(chance.standard_normal((32, 1, 3, 3)), group=32, pads=[1, 1, 1, 1])
    assert depthwise.sparse is not None
    grouped = expected_of(chance.standard_normal((32, 8, 3, 3)), group=4, pads=[1, 1, 1, 1])
    assert grouped.sparse is None
    assert "groups" in grouped.why
    layer, packed = layer_of(chance.standard_normal((8, 8, 1, 1)).astype(np.float32))
    assert expect(layer, packed, None, None) == "the size of its input is not known"
