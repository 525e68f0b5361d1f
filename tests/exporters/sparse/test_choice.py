"""The rule: what is expected of a layer, alone and among its neighbours."""

from __future__ import annotations

import onnx_ir as ir
import pytest
from onnx import helper

from exporters.sparse.choice import Expectation, choose
from exporters.sparse.neighbours import neighbours
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


@pytest.mark.parametrize(("ratio", "chosen"), [(0.2, True), (0.8, False)])
def test_a_layer_on_its_own_is_chosen_by_its_ratio(ratio: float, chosen: bool) -> None:
    assert (0 in choose([Expectation(ratio)], [NOWHERE])) is chosen
    assert not choose([Expectation(None, "grouped"), None], [NOWHERE, NOWHERE])


def test_between_dense_layers_reordering_counts_and_spreads() -> None:
    """Three in a row, the last two barely worth it: they are as long as their neighbour is sparse, too."""
    near = [(frozenset[int](), frozenset({1})), (frozenset({0}), frozenset({2})), (frozenset({1}), frozenset[int]())]
    good = Expectation(0.45, before=0.1, after=0.1)
    assert set(choose([good, good, good], near)) == {0, 1, 2}
    poor = Expectation(0.58, before=0.1, after=0.1)
    assert set(choose([good, poor, good], near)) == {0, 1, 2}
    assert set(choose([None, good, good], near)) == {1, 2}
    assert set(choose([None, poor, good], near)) == {2}
    assert set(choose([None, poor, poor], near)) == set()
