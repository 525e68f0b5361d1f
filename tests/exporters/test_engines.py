"""ONNX files become TensorRT engines ahead of time; without TensorRT one line says what to install."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import exporters
from compress.errors import ExportError, InputError, UnavailableError
from exporters import _tensorrt, run_engine
from exporters._runtime import Session
from exporters.engines import read_record

needs_tensorrt = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx_bindings") is None,
    reason="TensorRT for RTX is not installed: pip install 'compress-toolchain[tensorrt]'",
)
needs_no_gpu = pytest.mark.skipif(_tensorrt.present_capability() is not None, reason="this machine has a GPU")


@pytest.fixture
def custom_onnx(tmp_path: Path) -> Path:
    """A valid ONNX file with an operator that TensorRT does not know."""
    graph = helper.make_graph(
        [helper.make_node("Det", ["x"], ["y"], "the_det")],
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch"])],
    )
    path = tmp_path / "custom.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


@needs_tensorrt
def test_one_engine_per_capability_and_precision(small_onnx: Path, tmp_path: Path) -> None:
    made = exporters.build_engines(small_onnx, tmp_path, precisions=("fp32", "fp16"))
    assert not made.failures
    names = [f"small.sm{capability}.{precision}.engine" for precision in ("fp32", "fp16") for capability in (86, 89)]
    assert [engine.path.name for engine in made.engines] == names
    for engine in made.engines:
        assert engine.status == "compiled ahead of time, not executed"
        assert engine.verification == {}
        assert engine.path.stat().st_size > 10_000
        record = read_record(engine.path)
        assert record["engine_sha256"] == engine.sha256
        assert record["tensorrt_version"]
        assert "TF32" not in record["builder_flags"]
        assert record["profile"]["x"] == [[1, 3, 16, 16], [1, 3, 16, 16], [32, 3, 16, 16]]
    half = read_record(made.engines[2].path)
    assert half["float16"]["verification"]["max_error"] < half["float16"]["verification"]["allowed"]
    assert len({engine.sha256 for engine in made.engines}) == 4


@needs_tensorrt
def test_failing_capability_is_reported_with_tensorrts_reason(small_onnx: Path, tmp_path: Path) -> None:
    """Turing has no fp32 matrix product in TensorRT for RTX; 1.0 does not exist; the others are still made."""
    made = exporters.build_engines(small_onnx, tmp_path, compute_capabilities=("7.5", "1.0", "8.9"))
    assert [engine.metadata["compute_capability"] for engine in made.engines] == ["8.9"]
    reasons = {failure.compute_capability: failure.reason for failure in made.failures}
    assert "FP32 GEMM is not supported" in reasons["7.5"]
    assert "it knows 7.5" in reasons["1.0"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.sm89.fp32.engine", "small.sm89.fp32.engine.json"]


@needs_tensorrt
def test_all_failing_is_an_error_with_every_reason(small_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"no TensorRT engine could be compiled \(7.5 fp32.*1.0 fp32"):
        exporters.build_engines(small_onnx, tmp_path, compute_capabilities=("7.5", "1.0"))
    assert not list(tmp_path.iterdir())


@needs_tensorrt
def test_unknown_operator_is_named(custom_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"cannot parse it: Det 'the_det': UNSUPPORTED_NODE"):
        exporters.to_tensorrt(custom_onnx, tmp_path / "custom.engine")
    assert not list(tmp_path.glob("*.engine*"))


@needs_tensorrt
def test_single_engine_with_its_own_batch_range(small_onnx: Path, tmp_path: Path) -> None:
    batch = exporters.BatchRange(2, 4, 8)
    engine = exporters.to_tensorrt(small_onnx, tmp_path / "net.plan", "8.6", batch=batch)
    assert run_engine.batches_of(engine.metadata) == [2, 4, 8]


@needs_tensorrt
@pytest.mark.parametrize("content", [b"", b"hello"])
def test_not_an_onnx_file(tmp_path: Path, content: bytes) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(content)
    with pytest.raises(ExportError, match="not a valid ONNX file"):
        exporters.to_tensorrt(bad, tmp_path / "bad.engine")


def test_wrong_arguments_are_named(small_onnx: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown precision 'int8'"):
        exporters.to_tensorrt(small_onnx, tmp_path / "a.engine", "8.6", "int8")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="not 1 <= MIN <= OPT <= MAX"):
        exporters.BatchRange(4, 2, 8)
    with pytest.raises(InputError, match="no compute capability"):
        exporters.build_engines(small_onnx, tmp_path, compute_capabilities=())


def _without_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"):
        monkeypatch.setitem(sys.modules, name, None)


def test_missing_tensorrt_names_the_extra(small_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _without_tensorrt(monkeypatch)
    for build in (
        lambda: exporters.to_tensorrt(small_onnx, tmp_path / "a.engine"),
        lambda: exporters.build_engines(small_onnx, tmp_path),
    ):
        with pytest.raises(UnavailableError, match=r"pip install 'compress-toolchain\[tensorrt\]'") as caught:
            build()
        assert caught.value.exit_code == 4
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@needs_no_gpu
def test_full_tensorrt_without_a_gpu_is_unavailable(
    small_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _without_tensorrt(monkeypatch)
    monkeypatch.setitem(sys.modules, "tensorrt", types.ModuleType("tensorrt"))
    with pytest.raises(UnavailableError, match="compiles on the GPU it is for, and this machine has none"):
        exporters.to_tensorrt(small_onnx, tmp_path / "a.engine")


@needs_tensorrt
@needs_no_gpu
def test_running_without_a_gpu_says_so(small_onnx: Path, tmp_path: Path) -> None:
    engine = exporters.to_tensorrt(small_onnx, tmp_path / "net.engine")
    command = [sys.executable, "-m", "exporters.run_engine", str(engine.path), str(small_onnx)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert done.stderr.startswith("Error: there is no NVIDIA GPU")
    assert done.stderr.count("\n") == 1


@needs_tensorrt
def test_engine_is_tied_to_its_record_and_its_onnx(
    small_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = exporters.to_tensorrt(small_onnx, tmp_path / "net.engine").path
    other = exporters.convert_fp16(small_onnx, tmp_path / "other.onnx").path
    assert run_engine.main([str(engine), str(other)]) == 2
    assert "not the file that the engine was compiled from" in capsys.readouterr().err
    engine.write_bytes(engine.read_bytes() + b"x")
    assert run_engine.main([str(engine), str(small_onnx)]) == 2
    assert "belongs to another engine" in capsys.readouterr().err
    for record in ("{", "[]", json.dumps({"version": 99})):
        Path(f"{engine}.json").write_text(record)
        assert run_engine.main([str(engine), str(small_onnx)]) == 2
    Path(f"{engine}.json").unlink()
    assert run_engine.main([str(engine), str(small_onnx)]) == 2
    assert "has no record beside it" in capsys.readouterr().err


def test_checking_accepts_half_precision_and_finds_a_wrong_engine(small_onnx: Path, tmp_path: Path) -> None:
    """The comparison that the GPU script makes, here with ONNX files standing where the engine would run."""
    half = Session(exporters.convert_fp16(small_onnx, tmp_path / "half.onnx").path)
    figures = run_engine.check(half.run, Session(small_onnx), [1, 4], "fp16")
    assert 0 < figures["max_error"] < figures["allowed"]

    model = onnx.load(small_onnx)
    bias = next(item for item in model.graph.initializer if item.name == "linear.bias")
    bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32(0.1), bias.name))
    wrong = Session(model.SerializeToString())
    with pytest.raises(ExportError, match="is off by"):
        run_engine.check(wrong.run, Session(small_onnx), [1, 4], "fp16")
