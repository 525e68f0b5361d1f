"""Reading ONNX files: sparse initializers, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import exporters
from compress.errors import ExportError
from compress.operators import DOMAIN
from exporters._runtime import Session
from exporters.onnx_file import read_onnx, read_plain

WEIGHT = np.where(np.random.default_rng(0).random((8, 4, 3, 3)) < 0.1, 1.5, 0.0).astype(np.float32)


def sparse(places: Any) -> onnx.SparseTensorProto:
    values = numpy_helper.from_array(WEIGHT[WEIGHT != 0], "w")
    return helper.make_sparse_tensor(values, numpy_helper.from_array(places.astype(np.int64), "places"), WEIGHT.shape)


def value(name: str, *shape: int, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def save(path: Path, graph: onnx.GraphProto, domain: str = "") -> Path:
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid(domain, 17)], ir_version=9), path)
    return path


@pytest.mark.parametrize("places", [np.flatnonzero(WEIGHT), np.argwhere(WEIGHT)], ids=["flattened", "indices"])
def test_sparse_initializers_are_read_as_what_they_stand_for(places: Any, tmp_path: Path) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", [value("x", 1, 4, 5, 5)], [value("y", 1, 8, 3, 3)])
    graph.sparse_initializer.append(sparse(places))
    read = read_onnx(save(tmp_path / "net.onnx", graph))
    assert not read.graph.sparse_initializer
    assert np.array_equal(numpy_helper.to_array(read.graph.initializer[0]), WEIGHT)
    onnx.checker.check_model(read, full_check=True)


def test_those_inside_of_branches_are_read_too_and_the_nodes_around_stay(tmp_path: Path) -> None:
    branches = []
    for name in ("then", "else"):
        branch = helper.make_graph([helper.make_node("Conv", ["x", "w"], [name])], name, [], [value(name, 1, 8, 3, 3)])
        branch.sparse_initializer.append(sparse(np.flatnonzero(WEIGHT)))
        branches.append(branch)
    nodes = [
        helper.make_node("If", ["flag"], ["z"], then_branch=branches[0], else_branch=branches[1]),
        helper.make_node("Conv", ["x", "w2"], ["y"], pads=[0, 0, 0, 0]),
    ]
    inputs = [value("x", 1, 4, 5, 5), value("flag", kind=TensorProto.BOOL)]
    graph = helper.make_graph(nodes, "g", inputs, [value("y", 1, 8, 3, 3), value("z", 1, 8, 3, 3)])
    graph.initializer.append(numpy_helper.from_array(WEIGHT, "w2"))
    path = save(tmp_path / "net.onnx", graph)
    feed = {"x": np.ones((1, 4, 5, 5), np.float32), "flag": np.array(True)}
    for one, other in zip(Session(path).run(feed), Session(read_onnx(path).SerializeToString()).run(feed), strict=True):
        assert np.array_equal(one, other)


def test_what_knows_no_sparse_operators_says_so(tmp_path: Path) -> None:
    node = helper.make_node("SparseConv", ["x"], ["y"], domain=DOMAIN)
    graph = helper.make_graph([node], "g", [value("x", 1)], [value("y", 1)])
    path = save(tmp_path / "net.onnx", graph, DOMAIN)
    assert read_onnx(path).graph.node
    with pytest.raises(ExportError, match="has sparse operators already; give the dense file"):
        read_plain(path)
    for write in (exporters.sparsify_onnx, exporters.store_sparse, exporters.convert_fp16):
        with pytest.raises(ExportError, match="has sparse operators already"):
            write(path, tmp_path / "other.onnx")
    assert not (tmp_path / "other.onnx").exists()


def test_stored_sparsely_are_weights_alone_and_further_axes_get_a_size(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Slice", ["c", "from", "to"], ["y"])]
    graph = helper.make_graph(nodes, "g", [value("x", 1, 4, 5, 5)], [value("y", 1, 8, 3, 3)])
    graph.input[0].type.tensor_type.shape.dim[3].dim_param = "width"
    graph.output[0].type.tensor_type.shape.dim[3].dim_param = "narrower"
    ends = {"from": np.zeros(4, np.int64), "to": np.full(4, 99)}
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in {"w": WEIGHT, **ends}.items())
    path, stored = save(tmp_path / "net.onnx", graph), tmp_path / "stored.onnx"
    with pytest.raises(ExportError, match="with no size: width; give it with --size width=224"):
        exporters.store_sparse(path, stored)
    assert not stored.exists()
    assert list(exporters.store_sparse(path, stored, sizes={"width": 7}).metadata["stored"]) == ["w"]
