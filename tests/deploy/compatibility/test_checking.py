"""The matrix of files and runtimes: what runs, how well, and why the rest does not."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from compress.errors import InputError
from deploy.compatibility import Cell, Trials, check
from deploy.devices.base import Device
from deploy.devices.local import LocalDevice
from deploy.runner.protocol import Answer, MeasureRequest
from deploy.runtimes import names
from deploy.timing import Progress, silent
from tests.deploy.compatibility.networks import ACME, convolution, install_plugins, save
from tests.exporters.sparse.building import Case

CPU = "onnxruntime-cpu"
CRASHED = "crashed with signal 11 (SIGSEGV); try another version of the runtime"


def only(path: Path, runtime: str = CPU, **trials: object) -> Cell:
    """Return the one cell of a file in a runtime."""
    (cell,) = check([path], runtimes=[runtime], trials=Trials(**trials)).cells  # type: ignore[arg-type]
    return cell


@pytest.fixture
def plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    install_plugins(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))


@pytest.fixture
def identity(tmp_path: Path) -> Path:
    return save(tmp_path / "identity.onnx", [helper.make_node("Identity", ["x"], ["y"])])


def test_every_file_has_a_cell_in_every_known_runtime(tmp_path: Path) -> None:
    files = [convolution(tmp_path / "net.onnx"), convolution(tmp_path / "half.onnx", kind=TensorProto.FLOAT16)]
    told: list[float] = []
    matrix = check(files, progress=lambda share, what: told.append(share))
    assert [(cell.file, cell.runtime) for cell in matrix.cells] == [
        (path.name, name) for path in files for name in names()
    ]
    for cell in matrix.cells:
        absent = names()[cell.runtime]
        if absent is not None:
            assert (cell.outcome, cell.reason, cell.measured) == ("not tested here", absent, False)
    plain, half = (
        next(cell for cell in matrix.cells if (cell.file, cell.runtime) == (path.name, CPU)) for path in files
    )
    assert plain.outcome == half.outcome == "runs"
    assert plain.error is not None
    assert half.error is not None
    assert 0 < plain.error < 1e-6 < half.error < 1e-2
    assert plain.reference is not None
    assert plain.reference.startswith("float64 by ONNX's definition")
    assert plain.measured
    assert plain.version
    assert plain.nodes
    assert told == sorted(told)
    assert told[-1] < 1


def test_a_double_convolution_is_refused_by_name_and_runs_in_float32(tmp_path: Path) -> None:
    cell = only(convolution(tmp_path / "double.onnx", kind=TensorProto.DOUBLE))
    assert cell.outcome == "refused"
    assert "Conv" in cell.unsupported
    assert "Relu" not in cell.unsupported
    assert cell.needs == "fp32"
    assert cell.reason is not None
    assert "NOT_IMPLEMENTED" in cell.reason
    assert str(tmp_path) not in cell.reason


def test_an_operator_that_nobody_knows_is_named_and_nothing_mends_it(tmp_path: Path) -> None:
    node = helper.make_node("Frobnicate", ["r"], ["e"], domain=ACME)
    cell = only(convolution(tmp_path / "acme.onnx", behind=[node], domains=[ACME]))
    assert cell.outcome == "refused"
    assert cell.unsupported == [f"{ACME}::Frobnicate"]
    assert cell.needs is None
    assert cell.reason is not None
    assert f"{ACME}::Frobnicate is no operator of ONNX" in cell.reason


def test_an_operator_inside_of_a_branch_is_named(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    branches = [
        helper.make_graph([node], node.op_type, [], [value(node.output[0], TensorProto.FLOAT, None)])
        for node in (helper.make_node("Neg", ["x"], ["n"]), helper.make_node("Frobnicate", ["x"], ["f"], domain=ACME))
    ]
    nodes = [
        helper.make_node("IsNaN", ["x"], ["nans"]),
        helper.make_node("Cast", ["nans"], ["count"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["count"], ["any"], keepdims=0),
        helper.make_node("Cast", ["any"], ["is"], to=TensorProto.BOOL),
        helper.make_node("If", ["is"], ["y"], then_branch=branches[0], else_branch=branches[1]),
    ]
    cell = only(save(tmp_path / "if.onnx", nodes, domains=[ACME]))
    assert cell.unsupported == [f"{ACME}::Frobnicate"]


def test_a_younger_opset_or_format_needs_an_older_one(tmp_path: Path) -> None:
    young = only(convolution(tmp_path / "young.onnx", opset=99))
    assert young.needs is not None
    assert young.needs.startswith("opset ")
    assert int(young.needs.split()[1]) < 99
    assert young.unsupported == []
    assert young.reason is not None
    assert "opset" in young.reason
    assert "onnxruntime_src" not in young.reason
    form = only(convolution(tmp_path / "form.onnx", ir=99))
    assert form.needs is not None
    assert form.needs.startswith("IR version ")


def test_an_older_opset_needs_a_newer_one(tmp_path: Path) -> None:
    """Add with ``broadcast`` ended with opset 6; ONNX Runtime begins behind it."""
    bias = numpy_helper.from_array(np.ones((1, 3, 8, 8), np.float32), "b")
    node = helper.make_node("Add", ["x", "b"], ["y"], broadcast=1)
    model = onnx.load(str(save(tmp_path / "old.onnx", [node], opset=6, ir=4, weights=[bias])))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    model.graph.input.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, [1, 3, 8, 8]))
    onnx.save(model, str(tmp_path / "old.onnx"))
    cell = only(tmp_path / "old.onnx")
    assert cell.unsupported == ["Add"]
    assert cell.needs is not None
    assert cell.needs.startswith("opset ")
    assert int(cell.needs.split()[1]) > 6


def test_sparse_operators_run_with_their_library_and_without_it_need_dense_weights(tmp_path: Path) -> None:
    from exporters.sparse import library

    generator = np.random.default_rng(0)
    weight = generator.standard_normal((8, 3, 3, 3)).astype(np.float32) * (generator.random((8, 3, 3, 3)) < 0.3)
    case = Case(weight, (1, 3, 8, 8), pads=(1, 1, 1, 1), bias=np.ones(8, np.float32), bounds={"low": 0.0})
    path = tmp_path / "sparse.onnx"
    path.write_bytes(case.sparse())
    without = only(path)
    assert without.outcome == "refused"
    assert without.needs == "dense weights"
    assert without.unsupported == ["compress.sparse::SparseConv"]
    assert without.reason is not None
    assert "library" in without.reason
    found = library.find(None)
    (tmp_path / found.name).write_bytes(found.read_bytes())
    cell = only(path)
    assert cell.outcome == "runs"
    assert cell.error is not None
    assert cell.error < 1e-5
    assert cell.reference is not None
    assert "dense operators" in cell.reference


def test_where_float64_cannot_be_computed_the_reference_says_what_was_instead(tmp_path: Path) -> None:
    """ONNX's evaluator knows no operators of ONNX Runtime's own."""
    node = helper.make_node("FusedMatMul", ["x", "x"], ["y"], domain="com.microsoft", transB=1)
    cell = only(save(tmp_path / "fused.onnx", [node], domains=["com.microsoft"]))
    assert cell.outcome == "runs"
    assert cell.reference is not None
    assert cell.reference.startswith("float32 in ONNX Runtime without optimisations")
    assert cell.error is not None
    assert cell.error < 1e-5


def test_random_outputs_have_no_error(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["noise"]),
        helper.make_node("Add", ["x", "noise"], ["y"]),
    ]
    cell = only(save(tmp_path / "random.onnx", nodes))
    assert cell.outcome == "runs"
    assert cell.error is None
    assert cell.reason == "error unknown: its outputs are random (RandomNormalLike)"


def test_what_is_wrong_is_said_before_anything_is_tried(tmp_path: Path) -> None:
    net, cut = convolution(tmp_path / "net.onnx"), tmp_path / "cut.onnx"
    cut.write_bytes(net.read_bytes()[:300])
    (tmp_path / "net.pt2").write_bytes(b"zip")
    tall = convolution(tmp_path / "tall.onnx", height="height")
    told: list[str] = []
    for files, words in (
        ([net, cut], "truncated"),
        ([net, tmp_path / "none.onnx"], "does not exist"),
        ([tmp_path / "net.pt2"], "not a deployment file"),
        ([tall], "is dynamic and has no size"),
        ([], "no file"),
    ):
        with pytest.raises(InputError, match=words):
            check(files, progress=lambda share, what: told.append(what))
    with pytest.raises(InputError, match="onnxruntime-cpu"):
        check([net], runtimes=["onnxruntime-cpi"])
    with pytest.raises(InputError, match=r"'width'.*height"):
        check([net, tall], trials=Trials(sizes={"width": 8}))
    assert told == []


def test_sizes_go_to_the_files_that_have_them(tmp_path: Path) -> None:
    files = [convolution(tmp_path / "net.onnx"), convolution(tmp_path / "tall.onnx", height="height")]
    matrix = check(files, runtimes=[CPU], trials=Trials(sizes={"height": 12}))
    assert [cell.outcome for cell in matrix.cells] == ["runs", "runs"]


def test_inputs_that_cannot_be_made_up_leave_it_untested(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "text",
        [value("x", TensorProto.STRING, [3])],
        [value("y", TensorProto.STRING, [3])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / "t.onnx")
    cell = only(tmp_path / "t.onnx")
    assert cell.outcome == "not tested here"
    assert cell.reason == "it loads, but input 'x' is of type string, which cannot be made up"


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        convolution(tmp_path / name / "net.onnx")
    cells = check([tmp_path / "a" / "net.onnx", tmp_path / "b" / "net.onnx"], runtimes=["onnxruntime-coreml"]).cells
    assert len({cell.file for cell in cells}) == 2


def test_a_file_for_another_runtime_was_not_tested(tmp_path: Path) -> None:
    (tmp_path / "net.engine").write_bytes(b"engine")
    cell = only(tmp_path / "net.engine")
    assert (cell.outcome, cell.reason) == ("not tested here", "it reads .onnx files")


@pytest.mark.usefixtures("plugged")
def test_a_runtime_that_crashes_or_hangs_is_a_cell(identity: Path) -> None:
    crashed = only(identity, "crashing")
    assert (crashed.outcome, crashed.reason) == ("crashed", CRASHED)
    hung = only(identity, "hanging", timeout=1.0)
    assert hung.outcome == "hung"
    assert hung.reason is not None
    assert "1 s" in hung.reason
    assert "--timeout" in hung.reason


@pytest.mark.usefixtures("plugged")
def test_nodes_elsewhere_are_named(identity: Path) -> None:
    cell = only(identity, "sharing")
    assert cell.outcome == "runs in part"
    assert cell.fallbacks == {"slow": ["c"]}
    assert cell.nodes == 3
    assert cell.reason == "of 3 nodes 1 in slow"
    assert cell.error == 0


@pytest.mark.usefixtures("plugged")
def test_infinite_outputs_are_an_infinite_error(identity: Path) -> None:
    cell = only(identity, "infinite")
    assert cell.error == float("inf")
    assert cell.reason is not None
    assert "output 0 is not finite where the reference is" in cell.reason


@pytest.mark.usefixtures("plugged")
def test_operators_are_tried_alone_and_one_that_kills_is_not_the_end(tmp_path: Path) -> None:
    cell = only(convolution(tmp_path / "net.onnx"), "brittle")
    assert cell.outcome == "refused"
    assert cell.reason == "no convolutions here; take another"
    assert cell.unsupported == ["Conv", "Relu"]
    assert cell.needs is None


class Board(Device):
    """A device of another name that measures as this one does."""

    name = "board"

    def measure(self, request: MeasureRequest, progress: Progress = silent) -> Answer:
        return LocalDevice().measure(request, progress)

    def describe(self) -> Answer:
        return LocalDevice().describe()

    def stop(self) -> None:
        """Nothing to stop: nobody interrupts it."""


@pytest.mark.usefixtures("plugged")
def test_on_another_device_it_is_tried_whether_files_run(tmp_path: Path, identity: Path) -> None:
    files = [identity, convolution(tmp_path / "double.onnx", kind=TensorProto.DOUBLE)]
    runtimes = [CPU, "crashing", "onnxruntime-coreml"]
    cells = check(files, runtimes=runtimes, devices=[LocalDevice(), Board()]).cells
    found = {(cell.file, cell.runtime): cell for cell in cells if cell.device.startswith("board: ")}
    assert len(cells) == 2 * len(found) == 12
    ran = found["identity.onnx", CPU]
    assert (ran.outcome, ran.measured, ran.error) == ("runs", True, None)
    assert ran.version
    assert ran.reason is not None
    assert "error and placement of nodes unknown" in ran.reason
    assert found["identity.onnx", "crashing"].reason == CRASHED
    assert found["double.onnx", CPU].outcome == "refused"
    assert "NOT_IMPLEMENTED" in (found["double.onnx", CPU].reason or "")
    assert found["double.onnx", "onnxruntime-coreml"].outcome == "not tested here"
