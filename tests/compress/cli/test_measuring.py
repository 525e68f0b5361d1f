"""``compress profile``, ``gate``, ``report``, ``evaluate``, ``inspect`` and ``doctor``, on real files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import deploy
from deploy.report import read_json
from tests.compress.cli.calling import Cli
from tests.deploy.runner.processes import wait_until

QUICK = ("--seconds", "0.2")


def test_profile_measures_several_files(cli: Cli, onnx: Path) -> None:
    twin = shutil.copy(onnx, onnx.with_name("twin.onnx"))
    found = cli("profile", onnx, twin, *QUICK, "--json", "--threads", "2")
    assert found.code == 0, found.err
    profiles = [deploy.Profile.model_validate(each) for each in found.data["profiles"]]
    assert [profile.file.name for profile in profiles] == ["net.onnx", "twin.onnx"]
    assert all(profile.conditions.threads == 2 for profile in profiles)
    shown = cli("profile", onnx, *QUICK)
    assert "they wait for one another" not in shown.out
    assert "they wait for one another" in cli("profile", onnx, *QUICK, "--threads", (os.cpu_count() or 1) + 1).out
    assert "net.onnx" in shown.out
    assert "p99" in shown.out


def test_profile_writes_reports(cli: Cli, onnx: Path) -> None:
    assert cli("profile", onnx, *QUICK, "-o", "p.html", "-o", "p.json").code == 0
    assert len(read_json("p.json").profiles) == 1
    assert "net.onnx" in Path("p.html").read_text()
    cli("profile", onnx, *QUICK, "-o", "p.html").refused("p.html", "--force")


def test_an_unknown_runtime_is_2_and_an_unavailable_one_is_4(cli: Cli, onnx: Path) -> None:
    cli("profile", onnx, "--runtime", "onnxruntime-cpi").refused("onnxruntime-cpu")
    cli("profile", onnx, "--runtime", "onnxruntime-coreml").refused("onnxruntime-coreml", code=4)


def test_the_gates_answer_is_the_exit_code(cli: Cli, pair: tuple[Path, Path]) -> None:
    dense, small = pair
    passed = cli("gate", dense, small, "--max-regression", "20%")
    assert passed.code == 0, passed.err
    assert passed.out.startswith("PASS")
    undecided = cli("gate", dense, dense, "--max-regression", "0.0001%", "--budget", "1", "--json")
    assert undecided.code == 3
    assert undecided.data["status"] in ("inconclusive", "unresolvable")


def test_a_slower_file_is_a_regression(cli: Cli, pair: tuple[Path, Path], tmp_path: Path) -> None:
    import torch

    import compress
    import exporters

    slow = torch.nn.Sequential(*(torch.nn.Conv2d(16 if i else 1, 16, 5, padding=2) for i in range(12)))
    exporters.to_onnx(compress.capture(slow, (torch.randn(2, 1, 8, 8),), input_names=["x"]), tmp_path / "slow.onnx")
    failed = cli("gate", pair[1], "slow.onnx", "--json")
    assert failed.code == 1, failed.err
    assert failed.data["status"] == "fail"


def test_a_report_finds_networks_and_records_by_itself(cli: Cli, pair: tuple[Path, Path]) -> None:
    ended = cli("report", *pair, "--data", "digits", *QUICK, "--budget", 5)
    assert ended.code == 0, ended.err
    report = read_json("report.json")
    rows = {row.name: row for row in report.figures}
    assert rows["MACs"].before is not None
    assert rows["MACs"].after is not None
    assert abs(rows["MACs"].after / rows["MACs"].before - 0.5) < 0.01
    assert {"parameters", "file size", "accuracy (top1)", "latency p50"} <= set(rows)
    assert [step.verb for step in report.steps] == ["prune"]
    assert any(layer.status == "pruned" for layer in report.layers)
    assert any(layer.status == "protected" and layer.reason for layer in report.layers)
    assert all(check.passed for check in report.verification)
    assert len(report.verification) == 2
    assert report.gate is not None
    assert report.source is not None
    assert report.source.model == "models:digitsnet"
    assert "engines" in report.missing
    assert "net.pruned" in Path("report.html").read_text()
    assert "gate" in ended.out


def test_a_report_of_unknown_files_says_what_is_missing(cli: Cli, onnx: Path) -> None:
    ended = cli("report", onnx, onnx, *QUICK, "--budget", 2)
    assert ended.code == 0, ended.err
    assert "no export record" in ended.err
    report = read_json("report.json")
    rows = {row.name: row for row in report.figures}
    assert rows["MACs"].missing
    assert rows["accuracy"].missing == "accuracy unknown: no data given"
    assert "steps" in report.missing


def test_a_changed_network_is_not_taken_for_the_exported_one(cli: Cli, pair: tuple[Path, Path]) -> None:
    shutil.copy("net.pt2", "net.pruned.pt2")
    ended = cli("report", *pair, *QUICK, "--budget", 2)
    assert ended.code == 0, ended.err
    assert "has changed since the export" in ended.err
    rows = {row.name: row for row in read_json("report.json").figures}
    assert rows["MACs"].after is None


def test_a_damaged_record_is_refused(cli: Cli, onnx: Path) -> None:
    onnx.with_name("net.export.json").write_text("{")
    cli("report", onnx, onnx, *QUICK).refused("net.export.json")
    assert not Path("report.html").exists()


def test_evaluate_agrees_between_the_network_and_its_onnx(cli: Cli, net: Path, onnx: Path) -> None:
    network = cli("evaluate", net, "--data", "digits", "--json").data["metrics"]
    exported = cli("evaluate", onnx, "--data", "digits", "--json").data["metrics"]
    assert network["samples"] == exported["samples"]
    assert network["top1"] == pytest.approx(exported["top1"], abs=0.01)


def test_inspect_tells_and_verifies(cli: Cli, net: Path, onnx: Path) -> None:
    network = cli("inspect", net, "--verify", "--json")
    assert network.code == 0, network.err
    assert network.data["verification"]["permutation_error"] < 1e-9
    assert network.data["verification"]["removal_error"] < 1e-9
    assert network.data["reachable_macs"] > 0.9
    assert network.data["verification"]["moved"] > 0.9
    assert any(group["reason"] == "network output" for group in network.data["groups"])
    assert cli("inspect", onnx, "--json").data["opset"] >= 18
    assert "digitsnet" in cli("inspect", net).out
    cli("inspect", onnx, "--verify").refused("--verify")
    Path("no.json").write_text("[]")
    cli("inspect", "no.json").refused("no.json", "plan")
    Path("no.onnx").write_text("hello")
    cli("inspect", "no.onnx").refused("no.onnx")


def test_doctor_finds_this_installation_working(cli: Cli) -> None:
    found = {finding["part"]: finding for finding in cli("doctor", "--json").data["findings"]}
    assert all(found[name]["state"] == "ok" for name in ("torch", "torchvision", "timm", "onnxruntime"))
    assert found["runtime onnxruntime-cpu"]["state"] == "ok"
    assert "TensorRT" in found


def test_kill_cleans_up_as_interrupting_does(onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    command = [sys.executable, "-m", "compress", "profile", str(onnx), "--seconds", "600"]
    folder = tmp_path_factory.mktemp("temporary")
    with subprocess.Popen(
        command, env=os.environ | {"TMPDIR": str(folder)}, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        wait_until(lambda: any(folder.iterdir()))
        process.terminate()
        assert process.stderr is not None
        told = process.stderr.read()
        assert process.wait(timeout=60) == 130
    assert "interrupted" in told
    assert list(folder.iterdir()) == []
