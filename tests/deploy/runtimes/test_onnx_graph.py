"""The reader of an ONNX file's wiring against the onnx package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from compress.errors import InputError
from compress.operators import DOMAIN
from deploy.certification.networks import NETWORKS
from deploy.runtimes import onnx_graph
from deploy.runtimes.base import InputSpec
from deploy.runtimes.onnx_graph import Graph, Node

FLOAT = TensorProto.FLOAT


def declared(name: str, shape: list[int | str | None], kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def saved(path: Path, nodes: list[onnx.NodeProto], inputs: list[onnx.ValueInfoProto], weights: dict[str, int]) -> Graph:
    tensors = [numpy_helper.from_array(np.ones(size, np.float32), name) for name, size in weights.items()]
    graph = helper.make_graph(nodes, "g", inputs, [declared(nodes[-1].output[0], [1])], tensors)
    onnx.save(helper.make_model(graph), str(path))
    return onnx_graph.read(path)


@pytest.mark.parametrize("called", NETWORKS)
def test_it_reads_what_the_onnx_package_reads(called: str, tmp_path: Path) -> None:
    made = NETWORKS[called][0]()
    model = made.model.graph
    graph = onnx_graph.read(made.save(tmp_path / "net.onnx"))
    wired = [(node.name, node.operator, node.reads, node.writes) for node in graph.nodes]
    assert wired == [(node.name, node.op_type, tuple(node.input), tuple(node.output)) for node in model.node]
    assert graph.declared == tuple(InputSpec(name, *spec) for name, spec in made.inputs.items())
    assert graph.outputs == tuple(value.name for value in model.output)
    assert graph.weights == {tensor.name for tensor in model.initializer}
    assert {layer for node in graph.nodes for layer in graph.layers_of(node)} == set(made.layers)


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=5, unique=True),
    shape=st.lists(st.integers(0, 2**40) | st.text(max_size=8) | st.none(), max_size=4),
    kind=st.sampled_from([1, 2, 3, 5, 6, 7, 9, 10, 11, 16]),
)
def test_any_names_and_shapes_come_back(
    names: list[str], shape: list[int | str | None], kind: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    nodes = [helper.make_node("Identity", [name], [f"{name}/out"], name=f"node {name}") for name in names]
    path = tmp_path_factory.mktemp("any") / "net.onnx"
    graph = saved(path, nodes, [declared(name, shape, kind) for name in names], {})
    assert [node.name for node in graph.nodes] == [f"node {name}" for name in names]
    assert graph.inputs == tuple(names)
    wanted = tuple(size if isinstance(size, int) else size or "" for size in shape)
    assert {spec.shape for spec in graph.declared} == {wanted}
    word = helper.tensor_dtype_to_string(kind).rpartition(".")[2].lower()
    assert {spec.dtype for spec in graph.declared} == {word}


def test_weights_that_are_declared_as_inputs_are_no_inputs(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    graph = saved(tmp_path / "net.onnx", nodes, [declared("x", [3]), declared("w", [3])], {"w": 3})
    assert graph.inputs == ("x",)
    assert graph.weights == {"w"}


def test_nodes_without_names_get_some(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Relu", ["a"], ["y"])]
    graph = saved(tmp_path / "net.onnx", nodes, [declared("x", [3])], {})
    assert [node.name for node in graph.nodes] == ["Relu#0", "Relu#1"]


def test_what_a_branch_reads_from_outside_its_node_reads(tmp_path: Path) -> None:
    branches = {}
    for branch, operator in (("then_branch", "Add"), ("else_branch", "Mul")):
        inner = [helper.make_node(operator, ["x", "two"], ["both"]), helper.make_node("Add", ["both", "w"], ["out"])]
        tensors = [numpy_helper.from_array(np.ones(3, np.float32), "two")]
        branches[branch] = helper.make_graph(inner, branch, [], [declared("out", [3])], tensors)
    node = helper.make_node("If", ["c"], ["y"], name="choice", **branches)
    inputs = [declared("c", [], TensorProto.BOOL), declared("x", [3])]
    graph = saved(tmp_path / "net.onnx", [node], inputs, {"w": 3})
    assert set(graph.nodes[0].reads) == {"c", "x", "w"}


def test_nodes_that_depend_on_no_input_are_not_live(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Neg", ["w"], ["v"], name="ahead"),
        helper.make_node("Add", ["x", "v"], ["y"], name="live"),
    ]
    graph = saved(tmp_path / "net.onnx", nodes, [declared("x", [3])], {"w": 3})
    assert [node.name for node in graph.live_nodes()] == ["live"]


@pytest.mark.parametrize(
    ("node", "layers"),
    [
        (Node("a", "Conv", ("x", "layer1.0.conv1.weight", "layer1.0.conv1.bias"), ("y",)), ("layer1.0.conv1",)),
        (Node("a", "Conv", ("x", "val_7"), ("y",), layer="features.3"), ("features.3",)),
        (Node("a", "Add", ("x", "cls_token"), ("y",)), ()),
        (Node("a", "Add", ("x", "shared.bias"), ("y",)), ()),
        (Node("/layer1/layer1.0/conv1/Conv", "Conv", ("x", "onnx::Conv_193"), ("y",)), ("layer1.0.conv1",)),
        (
            Node("/features/features.1/conv/conv.0/conv.0.2/Conv", "Conv", ("x", "onnx::Conv_193"), ("y",)),
            ("features.1.conv.0.2",),
        ),
        (Node("/relu/Relu", "Relu", ("x",), ("y",)), ()),
        (Node("a", "SparseConv", ("x", "conv.weight.values", "conv.weight.mask"), ("y",), DOMAIN), ("conv",)),
        (Node("a", "Fused", ("x", "up.weight", "down.weight"), ("y",)), ("up", "down")),
    ],
)
def test_layers_are_told_by_metadata_or_by_names(node: Node, layers: tuple[str, ...]) -> None:
    weights = frozenset(name for name in node.reads if name != "x")
    other = Node("b", "Add", ("x", "shared.bias"), ("z",))
    graph = Graph((node, other), (InputSpec("x", "float", ()),), ("y",), weights)
    graph.uses.update(name for one in graph.nodes for name in one.reads)
    assert graph.layers_of(node) == layers


@pytest.mark.parametrize("cut", [0, 1, 2, 10, 0.3, 0.9, -1])
def test_what_is_cut_off_is_refused(cut: float, tmp_path: Path) -> None:
    data = NETWORKS["convolutional"][0]().model.graph.SerializeToString()
    whole = b"\x3a" + _varint(len(data)) + data
    path = tmp_path / "net.onnx"
    path.write_bytes(whole[: int(cut * len(whole)) if 0 < cut < 1 else int(cut)])
    with pytest.raises(InputError, match=r"net\.onnx") as raised:
        onnx_graph.read(path)
    assert "\n" not in str(raised.value)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_noise_is_refused_or_read_never_a_crash(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.onnx"
    path.write_bytes(noise)
    try:
        found: Graph | InputError = onnx_graph.read(path)
    except InputError as error:
        found = error
    assert isinstance(found, Graph) or "noise.onnx" in str(found)


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        onnx_graph.read(tmp_path)
    with pytest.raises(InputError, match="No such file"):
        onnx_graph.read(tmp_path / "none.onnx")


def _varint(value: int) -> bytes:
    made = bytearray()
    while value >= 0x80:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])
