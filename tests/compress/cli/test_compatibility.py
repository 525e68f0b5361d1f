"""``compress compatibility`` on real files, with TensorRT where it is installed."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
from onnx import helper

from compress.pipeline import ahead_of_time
from deploy.compatibility import Compiled, Matrix
from deploy.report import read_json
from tests.compress.cli.calling import Cli
from tests.deploy.compatibility.networks import ACME, convolution, linear, save

needs_tensorrt = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx_bindings") is None,
    reason="TensorRT for RTX is not installed: pip install 'compress-toolchain[tensorrt]'",
)
CPU = ("--runtime", "onnxruntime-cpu")


def test_a_table_reasons_and_reports(cli: Cli, tmp_path: Path) -> None:
    net = convolution(tmp_path / "net.onnx")
    acme = convolution(
        tmp_path / "acme.onnx", behind=[helper.make_node("Frobnicate", ["r"], ["e"], domain=ACME)], domains=[ACME]
    )
    asked = ("compatibility", net, acme, *CPU, "--runtime", "onnxruntime-coreml", "--no-compile")
    ended = cli(*asked, "-o", "m.json", "-o", "m.html")
    assert ended.code == 0, ended.err
    assert "runs, error" in ended.out
    assert "acme.onnx in onnxruntime-cpu: refused: " in ended.out
    assert f"it lacks {ACME}::Frobnicate" in ended.out
    assert ended.out.count("onnxruntime-coreml: not tested here: ") == 1
    matrix = read_json("m.json").matrix
    assert matrix is not None
    assert [cell.outcome for cell in matrix.cells] == ["runs", "not tested here", "refused", "not tested here"]
    assert f"{ACME}::Frobnicate" in Path("m.html").read_text()
    cli(*asked, "-o", "m.json").refused("m.json", "--force")
    assert Matrix.model_validate(cli(*asked, "--json").data).cells[0].error == matrix.cells[0].error


def test_bad_input_is_2_and_nothing_is_written(cli: Cli, tmp_path: Path) -> None:
    net = convolution(tmp_path / "net.onnx")
    (tmp_path / "cut.onnx").write_bytes(net.read_bytes()[:300])
    convolution(tmp_path / "tall.onnx", height="height")
    cli("compatibility", "net.onnx", "cut.onnx", "-o", "m.json").refused("cut.onnx", "truncated")
    cli("compatibility", "tall.onnx", "-o", "m.json").refused("tall.onnx", "height=224")
    cli("compatibility", "net.onnx", "--runtime", "onnxruntime-cup", "-o", "m.json").refused("onnxruntime-cpu")
    cli("compatibility", "net.onnx", "--capability", "ampere", "-o", "m.json").refused("ampere", "8.6")
    cli("compatibility", "net.onnx", "--size", "width=3", "-o", "m.json").refused("width")
    cli("compatibility").refused("FILE")
    assert not (tmp_path / "m.json").exists()


@needs_tensorrt
def test_capabilities_compile_and_tensorrt_says_why_not(cli: Cli, tmp_path: Path) -> None:
    linear(tmp_path / "linear.onnx")
    save(tmp_path / "det.onnx", [helper.make_node("Det", ["x"], ["y"], name="the_det")], opset=20, rank=2)
    asked = ("--capability", "7.5", "--capability", "8.6")
    found = Matrix.model_validate(cli("compatibility", "linear.onnx", "det.onnx", *CPU, *asked, "--json").data)
    cells = {(cell.file, cell.device): cell for cell in found.cells if cell.device.startswith("sm ")}
    turing, ampere = cells["linear.onnx", "sm 7.5"], cells["linear.onnx", "sm 8.6"]
    assert turing.outcome == "refused"
    assert turing.reason is not None
    assert "FP32 GEMM is not supported" in turing.reason
    assert turing.needs == "fp16"
    assert (ampere.outcome, ampere.measured) == ("compiles", False)
    assert ampere.version
    for capability in ("sm 7.5", "sm 8.6"):
        assert cells["det.onnx", capability].outcome == "refused"
        assert cells["det.onnx", capability].unsupported == ["Det"]
    shown = cli("compatibility", "linear.onnx", *CPU, *asked)
    assert "FP32 GEMM is not supported" in shown.out
    assert "a copy with fp16 compiles" in shown.out
    assert "not executed" in shown.out


@needs_tensorrt
def test_a_compilation_that_takes_too_long_hangs(tmp_path: Path) -> None:
    made = ahead_of_time.compile_file(convolution(tmp_path / "net.onnx"), "8.6", 0.001)
    assert made.outcome == "hung"


def test_without_tensorrt_nothing_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that compiles finds modules in its stead that cannot be imported."""
    for name in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not here')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    made = ahead_of_time.compile_file(convolution(tmp_path / "net.onnx"), "8.6", 60.0)
    assert made == Compiled("not tested here", reason=made.reason)
    assert made.reason is not None
    assert "pip install 'compress-toolchain[tensorrt]'" in made.reason
