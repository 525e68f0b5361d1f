"""Mapping a runtime's graph back to the file's nodes, on the kinds of change that ONNX Runtime was seen to make."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.runtimes.base import InputSpec
from deploy.runtimes.fusion import assign
from deploy.runtimes.onnx_graph import Graph, Node

Row = tuple[str, str, str, str]  # name, operator, what it reads, what it writes


def graph(*rows: Row, inputs: str = "x", weights: str = "") -> Graph:
    nodes = tuple(Node(name, kind, tuple(reads.split()), tuple(writes.split())) for name, kind, reads, writes in rows)
    uses = Counter(name for node in nodes for name in node.reads)
    specs = tuple(InputSpec(name, "float", (1,)) for name in inputs.split())
    return Graph(nodes, specs, nodes[-1].writes, frozenset(weights.split()), uses)


def mapped(file: Graph, made: Graph) -> dict[str, list[str]]:
    found = assign(file, made)
    assert len(found) == len(made.nodes)
    return {node.name: [one.name for one in nodes] for node, nodes in zip(made.nodes, found, strict=True)}


RESIDUAL = graph(
    ("conv1", "Conv", "x w1", "c1"),
    ("relu1", "Relu", "c1", "r1"),
    ("conv2", "Conv", "r1 w2", "c2"),
    ("down", "Conv", "x w3", "c3"),
    ("add", "Add", "c2 c3", "s"),
    ("relu2", "Relu", "s", "r2"),
    ("conv4", "Conv", "r2 w4", "c4"),
    ("clip4", "Clip", "c4 low high", "r4"),
    ("pool", "GlobalAveragePool", "r4", "y"),
    weights="w1 w2 w3 w4 low high",
)


def test_sums_and_activations_behind_a_convolution_are_its_own_in_the_blocked_layout() -> None:
    made = graph(
        ("ReorderInput", "ReorderInput", "x", "token0"),
        ("r1_nchwc", "Conv", "token0 reorder1", "token1"),
        ("c3_nchwc", "Conv", "token0 reorder3", "token2"),
        ("c2_nchwc", "Conv", "token1 reorder2 token2", "token3"),
        ("r4_nchwc", "Conv", "token3 reorder4", "token4"),
        ("y_nchwc", "GlobalAveragePool", "token4", "token5"),
        ("ReorderOutput", "ReorderOutput", "token5", "y"),
        weights="reorder1 reorder2 reorder3 reorder4",
    )
    assert mapped(RESIDUAL, made) == {
        "ReorderInput": [],
        "r1_nchwc": ["conv1", "relu1"],
        "c3_nchwc": ["down"],
        "c2_nchwc": ["conv2", "add", "relu2"],
        "r4_nchwc": ["conv4", "clip4"],
        "y_nchwc": ["pool"],
        "ReorderOutput": [],
    }


def test_the_sum_belongs_to_the_convolution_that_runs_last() -> None:
    made = graph(
        ("r1_nchwc", "Conv", "x reorder1", "token1"),
        ("c2_nchwc", "Conv", "token1 reorder2", "token2"),
        ("c3_nchwc", "Conv", "x reorder3 token2", "token3"),
        ("r4_nchwc", "Conv", "token3 reorder4", "token4"),
        ("ReorderOutput", "ReorderOutput", "token4", "r4"),
        ("pool", "GlobalAveragePool", "r4", "y"),
    )
    found = mapped(RESIDUAL, made)
    assert found["c2_nchwc"] == ["conv2"]
    assert found["c3_nchwc"] == ["down", "add", "relu2"]
    assert found["ReorderOutput"] == []


def test_a_graph_that_was_left_alone_is_itself() -> None:
    assert mapped(RESIDUAL, RESIDUAL) == {node.name: [node.name] for node in RESIDUAL.nodes}


def test_fusion_by_values_takes_all_that_lies_between() -> None:
    norm = graph(
        ("up", "MatMul", "x w", "u"),
        ("mean", "ReduceMean", "u", "m"),
        ("sub", "Sub", "u m", "d"),
        ("pow", "Pow", "d two", "p"),
        ("var", "ReduceMean", "p", "v"),
        ("eps", "Add", "v e", "ve"),
        ("sqrt", "Sqrt", "ve", "sd"),
        ("div", "Div", "d sd", "n"),
        ("scale", "Mul", "n gamma", "g"),
        ("shift", "Add", "g beta", "y"),
        weights="w two e gamma beta",
    )
    made = graph(("up", "MatMul", "x w", "u"), ("LayerNormalization", "LayerNormalization", "u gamma beta", "y"))
    assert mapped(norm, made) == {"up": ["up"], "LayerNormalization": [node.name for node in norm.nodes[1:]]}


def test_what_a_split_replaces_names_its_outputs() -> None:
    file = graph(
        ("slice0", "Slice", "x a b", "s0"),
        ("slice1", "Slice", "x b c", "s1"),
        ("relu", "Relu", "s0", "r"),
        ("mul", "Mul", "r s1", "y"),
        weights="a b c",
    )
    made = graph(
        ("slice1/GatherSliceToSplitFusion", "Split", "x sizes", "slice0 slice1"),
        ("Transpose_token_4", "Transpose", "slice0", "s0"),
        ("relu", "Relu", "s0", "r"),
        ("mul", "Mul", "r slice1", "y"),
    )
    assert mapped(file, made)["slice1/GatherSliceToSplitFusion"] == ["slice0", "slice1"]
    assert mapped(file, made)["Transpose_token_4"] == []


def test_a_weight_tells_where_names_and_values_are_gone() -> None:
    file = graph(("fc", "Gemm", "x w", "h"), ("relu", "Relu", "h", "y"), weights="w")
    made = graph(("fused 7", "FusedGemm", "x w", "other"), ("end", "Mul", "other half", "last"))
    assert mapped(file, made)["fused 7"] == ["fc", "relu"]


def test_nodes_that_are_computed_ahead_are_nowhere() -> None:
    file = graph(("ahead", "Neg", "w", "v"), ("live", "Add", "x v", "y"), weights="w")
    assert mapped(file, graph(("live", "Add", "x v", "y"), weights="v")) == {"live": ["live"]}


def test_names_that_only_count_nodes_are_no_names() -> None:
    file = graph(("Relu#0", "Relu", "x", "a"), ("Relu#1", "Relu", "a", "y"))
    made = graph(("Relu#0", "Relu", "b", "y"), ("Relu#1", "Relu", "x", "a"))
    assert mapped(file, made) == {"Relu#0": ["Relu#1"], "Relu#1": ["Relu#0"]}


@st.composite
def random_files(draw: st.DrawFn) -> Graph:
    rows: list[Row] = []
    values = ["x"]
    kinds = st.sampled_from(["Conv", "Relu", "Add", "MatMul", "Transpose", "Concat", "Neg"])
    for index in range(draw(st.integers(1, 12))):
        kind = draw(kinds)
        reads = draw(st.lists(st.sampled_from(values), min_size=1, max_size=2))
        weights = [f"w{index}"] if kind in ("Conv", "MatMul") else []
        rows.append((f"node{index}", kind, " ".join([*reads, *weights]), f"v{index}"))
        values.append(f"v{index}")
    return graph(*rows, weights=" ".join(f"w{index}" for index in range(12)))


@settings(max_examples=200, deadline=None)
@given(random_files(), st.data())
def test_every_live_node_is_in_at_most_one_place_and_in_order(file: Graph, data: st.DataObject) -> None:
    kept = [node for node in file.nodes if data.draw(st.booleans())] or [file.nodes[-1]]
    renamed = [
        Node(f"new{index}" if data.draw(st.booleans()) else node.name, node.operator, node.reads, node.writes)
        for index, node in enumerate(kept)
    ]
    made = Graph(tuple(renamed), file.declared, file.outputs, file.weights)
    found = [one.name for nodes in assign(file, made) for one in nodes]
    assert len(found) == len(set(found))
    assert set(found) <= {node.name for node in file.live_nodes()}
    order = [node.name for node in file.nodes]
    for nodes in assign(file, made):
        assert [one.name for one in nodes] == sorted((one.name for one in nodes), key=order.index)


@pytest.mark.parametrize("operator", ["Transpose", "Cast", "ReorderInput"])
def test_a_node_that_only_moves_data_stands_for_no_other(operator: str) -> None:
    file = graph(("relu", "Relu", "x", "y"))
    assert mapped(file, graph(("moved", operator, "x", "y"))) == {"moved": []}
