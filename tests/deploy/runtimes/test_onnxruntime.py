"""ONNX Runtime's providers: who runs what, for how long, and what is said where a provider cannot be used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from compress import operators
from compress.errors import InputError, UnavailableError
from deploy import runtimes
from deploy.certification.networks import convolutional, transformer
from deploy.feeds import make_feeds
from deploy.runtimes import OperatorTiming, onnx_graph, onnxruntime_probe, onnxruntime_trace
from deploy.runtimes.onnxruntime_base import OnnxRuntime
from exporters.sparse import library
from tests.exporters.sparse.building import Case, pruned


def times(path: Path, *, runs: int = 3, **sizes: int) -> list[OperatorTiming]:
    session = runtimes.get("onnxruntime-cpu").load(path, threads=1)
    return session.operator_times(make_feeds(session, batch=2, sizes=sizes), runs=runs)


def test_operators_of_a_convolution_network_are_its_layers(tmp_path: Path) -> None:
    path = convolutional(64).save(tmp_path / "net.onnx")
    found = times(path, height=32, width=32)
    convolutions = [operator for operator in found if operator.kind == "Conv"]
    assert [operator.layers for operator in convolutions] == [
        ("stem",),
        ("block.expand",),
        ("block.depthwise",),
        ("block.project",),
    ]
    assert len(convolutions[-1].nodes) >= 1
    assert convolutions[-1].nodes[0] == "block.project/Conv"
    assert {operator.provider for operator in found} == {"CPUExecutionProvider"}
    placed = [name for operator in found for name in operator.nodes]
    assert sorted(placed) == sorted(node.name for node in onnx_graph.read(path).live_nodes())


@pytest.mark.parametrize("order", ["long short last", "short long last", "long last short"])
def test_branches_that_run_in_another_order_than_the_files_are_told_apart(tmp_path: Path, order: str) -> None:
    """Odd widths: ONNX Runtime leaves the convolutions as they are, and runs them in an order of its own."""
    convolutions = {
        "long": helper.make_node("Conv", ["x", "long.weight"], ["a"], "long/Conv", strides=[2, 2], pads=[1, 1, 1, 1]),
        "last": helper.make_node("Conv", ["a", "last.weight"], ["b"], "last/Conv", pads=[1, 1, 1, 1]),
        "short": helper.make_node("Conv", ["x", "short.weight"], ["s"], "short/Conv", strides=[2, 2]),
    }
    shapes = {"long": (17, 31, 3, 3), "last": (21, 17, 3, 3), "short": (21, 31, 1, 1)}
    weights = [numpy_helper.from_array(np.ones(shape, np.float32), f"{name}.weight") for name, shape in shapes.items()]
    nodes = [*(convolutions[name] for name in order.split()), helper.make_node("Add", ["b", "s"], ["y"], "add")]
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", [2, 31, 16, 16]), ("y", [2, 21, 8, 8]))
    )
    model = helper.make_model(
        helper.make_graph(nodes, "branches", [x], [y], weights), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 8
    onnx.save(model, str(tmp_path / "branches.onnx"))
    found = {operator.name: operator for operator in times(tmp_path / "branches.onnx")}
    for name in shapes:
        assert found[f"{name}/Conv"].nodes == (f"{name}/Conv",)
        assert found[f"{name}/Conv"].layers == (name,)


def test_operators_of_a_transformer_are_its_layers(tmp_path: Path) -> None:
    path = transformer(64).save(tmp_path / "net.onnx")
    found = times(path, length=16)
    products = [operator for operator in found if "MatMul" in operator.kind and operator.layers]
    assert [operator.layers for operator in products] == [
        ("attention.qkv",),
        ("attention.project",),
        ("mlp.fc1",),
        ("mlp.fc2",),
    ]
    norms = {operator.layers: operator.nodes for operator in found if operator.kind == "LayerNormalization"}
    assert {len(nodes) for nodes in norms.values()} == {9}
    placed = [name for operator in found for name in operator.nodes]
    assert len(placed) == len(set(placed))


def test_sparse_operators_are_timed_and_named(tmp_path: Path) -> None:
    case = Case(pruned(np.random.default_rng(0), (32, 16, 3, 3), 0.1, 1), (1, 16, 24, 24))
    model = onnx.load_from_string(case.sparse())
    names = {"values": "features.0.weight.values", "mask": "features.0.weight.mask"}
    for tensor in model.graph.initializer:
        tensor.name = names[tensor.name]
    model.graph.node[0].input[1:3] = names.values()
    onnx.save(model, str(tmp_path / "net.onnx"))
    shutil.copy(library.find(), tmp_path / operators.library_name(operators.host()))
    session = runtimes.get("onnxruntime-cpu").load(tmp_path / "net.onnx", threads=1)
    (operator,) = session.operator_times(case.feed(), runs=3)
    assert operator.kind == "SparseConv"
    assert operator.layers == ("features.0",)
    assert operator.milliseconds > 0
    assert list(session.placement()) == ["CPUExecutionProvider"]


def test_nothing_is_left_behind_by_profiling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = convolutional(8).save(tmp_path / "net.onnx")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(tmp_path)
    times(path, height=16, width=16)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["net.onnx", "temporary"]
    assert not list((tmp_path / "temporary").iterdir())


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = convolutional(8).save(tmp_path / "net.onnx")
    monkeypatch.setattr("tempfile.tempdir", "/proc/nowhere")
    with pytest.raises(UnavailableError, match="profile cannot be written") as raised:
        times(path, height=16, width=16)
    assert "TMPDIR" in str(raised.value)


def test_a_torn_profile_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = convolutional(8).save(tmp_path / "net.onnx")
    read = onnxruntime_trace.read

    def torn(trace: Path, *, skipped: int) -> list[onnxruntime_trace.Timed]:
        trace.write_bytes(trace.read_bytes()[:1000])
        return read(trace, skipped=skipped)

    monkeypatch.setattr(onnxruntime_trace, "read", torn)
    with pytest.raises(UnavailableError, match="profile cannot be written or read"):
        times(path, height=16, width=16)


class Absent(OnnxRuntime):
    """A provider that this package of ONNX Runtime names but does not have."""

    name: ClassVar[str] = "onnxruntime-absent"
    provider: ClassVar[str] = "CUDAExecutionProvider"
    package: ClassVar[str] = "onnxruntime-gpu"


class Idle(OnnxRuntime):
    """A provider that is there and supports no operator of networks."""

    name: ClassVar[str] = "onnxruntime-idle"
    provider: ClassVar[str] = "AzureExecutionProvider"
    package: ClassVar[str] = "onnxruntime"


without_cuda = pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this ONNX Runtime has CUDA"
)
with_azure = pytest.mark.skipif(
    "AzureExecutionProvider" not in onnxruntime.get_available_providers(), reason="no such provider here"
)


@without_cuda
def test_a_provider_that_the_package_lacks_is_said_and_never_replaced(tmp_path: Path) -> None:
    assert Absent().why_not() == (
        "the onnxruntime that is installed was built without CUDAExecutionProvider: pip install onnxruntime-gpu"
    )
    with pytest.raises(UnavailableError, match="cannot start CUDAExecutionProvider"):
        Absent().load(convolutional(8).save(tmp_path / "net.onnx"), threads=1)


@with_azure
def test_a_file_of_which_a_provider_runs_nothing_is_not_measured_under_its_name(tmp_path: Path) -> None:
    assert Idle().why_not() is None
    with pytest.raises(InputError, match="AzureExecutionProvider supports none of its nodes") as raised:
        Idle().load(convolutional(8).save(tmp_path / "net.onnx"), threads=1)
    assert "onnxruntime-cpu" in str(raised.value)


@pytest.mark.parametrize("name", [f"onnxruntime-{kind}" for kind in ("cuda", "tensorrt", "coreml", "xnnpack")])
def test_what_is_not_here_says_what_is_missing(name: str) -> None:
    reason = runtimes.names()[name]
    if reason is None:
        pytest.skip(f"{name} is here")
    words = ("no NVIDIA", "built without", "Apple", "cannot open", "does not start", "crashes")
    assert any(word in reason for word in words)
    assert "\n" not in reason


def test_the_probes_model_is_what_it_says(tmp_path: Path) -> None:
    model = onnx.load_from_string(onnxruntime_probe.MODEL)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Relu"]


def test_the_probe_starts_what_is_here_and_gives_the_reason_where_it_does_not() -> None:
    assert onnxruntime_probe.why_not("CPUExecutionProvider") is None
    reason = onnxruntime_probe.why_not("NoSuchProvider")
    assert reason
    assert "NoSuchProvider" in reason


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (
            "\x1b[1;31m2026-01-01 [E:onnxruntime:Default, bridge.cc:2458 operator()] a.cc:2043 Provider& Get() "
            "[ONNXRuntimeError] : 1 : FAIL : Failed to load library /x/libonnxruntime_providers_cuda.so with error: "
            "libcublasLt.so.13: cannot open shared object file: No such file or directory\n\x1b[m\n"
            "\x1b[0;93m2026-01-01 [W:onnxruntime:Default, state.cc:1295] Failed to create CUDAExecutionProvider.\x1b[m",
            "libcublasLt.so.13: cannot open shared object file: No such file or directory",
        ),
        ("Traceback (most recent call last):\n  File x\nImportError: no such thing\n", "ImportError: no such thing"),
        ("", "it gives no reason"),
    ],
)
def test_the_reason_is_found_in_the_log(log: str, reason: str) -> None:
    assert onnxruntime_probe.cause(log) == reason


def event(name: str, start: int, duration: int, operator: str = "Conv", index: int = 0) -> dict[str, Any]:
    arguments = {"op_name": operator, "provider": "CPU", "node_index": str(index)}
    return {"cat": "Node", "name": f"{name}_kernel_time", "ts": start, "dur": duration, "args": arguments}


def traced(path: Path, events: Sequence[dict[str, Any]], runs: Sequence[int]) -> list[onnxruntime_trace.Timed]:
    frames = [{"cat": "Session", "name": "model_run", "ts": start, "dur": 100, "args": {}} for start in runs]
    path.write_text(json.dumps([*frames, *events]))
    return onnxruntime_trace.read(path, skipped=1)


def test_medians_leave_out_the_first_runs_and_are_above_zero(tmp_path: Path) -> None:
    starts = [0, 1000, 2000, 3000, 4000]
    durations = {"a": [900, 10, 11, 10, 50], "b": [70, 0, 0, 0, 0]}
    events = [
        event(name, start + offset, durations[name][number], index=offset)
        for number, start in enumerate(starts)
        for offset, name in enumerate(durations)
    ]
    first, second = traced(tmp_path / "trace.json", events, starts)
    assert (first.name, second.name) == ("a", "b")
    # Times are cut off: what is written down as 10 took 10 to 11.
    assert 0.010 < first.milliseconds < 0.012
    assert 0 < second.milliseconds < 0.001


def test_time_inside_a_loop_is_counted_once(tmp_path: Path) -> None:
    events = []
    for start in (0, 1000, 2000):
        events.append(event("loop", start, 300, "Loop", 0))
        events += [event("body", start + 10 * step, 5, "Add", 9) for step in range(1, 20)]
        events.append(event("after", start + 400, 20, "Relu", 1))
    found = traced(tmp_path / "trace.json", events, (0, 1000, 2000))
    assert [timed.name for timed in found] == ["loop", "after"]
