"""``compress profile`` as a user calls it, on real files, with wrong ones among them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import deploy
from deploy.report import read_json
from tests.compress.cli.calling import Cli
from tests.deploy.runner import plugin

QUICK = ("--seconds", "0.1")


@pytest.fixture
def unruly(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> str:
    plugin.install(tmp_path_factory.mktemp("plugin"), monkeypatch)
    return plugin.NAME


def test_every_combination_has_a_table_of_its_own(cli: Cli, onnx: Path) -> None:
    found = cli("profile", onnx, *QUICK, "--threads", "1", "--threads", "2", "--batch", "1", "--batch", "4")
    assert found.code == 0, found.err
    for threads in ("1 thread", "2 threads"):
        for batch in (1, 4):
            assert f"{threads}, batch {batch}," in found.out
    by_batch = found.out[found.out.index("samples per second in onnxruntime-cpu") :]
    assert by_batch.index("batch 1") < by_batch.index("batch 4")
    assert found.out.count("net.onnx") == 4 + 2
    assert "p95" in found.out
    assert "not comparable" in found.out


def test_operators_are_named_by_layer(cli: Cli, onnx: Path) -> None:
    found = cli("profile", onnx, *QUICK, "--operators")
    assert found.code == 0, found.err
    assert "operators of net.onnx" in found.out
    assert "conv" in found.out.lower()
    (profile,) = cli("profile", onnx, *QUICK, "--operators", "--json").data["profiles"]
    assert sum(operator["milliseconds"] for operator in profile["operators"]) > 0
    assert any(operator["layers"] for operator in profile["operators"])


def test_a_crash_is_told_and_the_rest_is_measured_and_written(cli: Cli, onnx: Path, unruly: str) -> None:
    shutil.copy(onnx, onnx.with_name("crash-load.onnx"))
    found = cli("profile", onnx, "crash-load.onnx", "--runtime", unruly, *QUICK, "-o", "p.json")
    assert found.code == 2
    assert "net.onnx" in found.out
    assert "crashed with signal 11 (SIGSEGV)" in found.out
    assert found.err.strip().splitlines()[-1].startswith("error: 1 could not be measured: crash-load.onnx in unruly")
    report = read_json("p.json")
    assert [profile.file.name for profile in report.profiles] == ["net.onnx"]
    assert [failure.kind for failure in report.failures] == ["crashed"]


def test_a_runtime_that_is_not_here_is_4_and_the_rest_is_measured(cli: Cli, onnx: Path) -> None:
    found = cli("profile", onnx, "--runtime", "onnxruntime-cpu", "--runtime", "onnxruntime-coreml", *QUICK, "--json")
    assert found.code == 4
    assert [profile["conditions"]["runtime"] for profile in found.data["profiles"]] == ["onnxruntime-cpu"]
    assert [failure["kind"] for failure in found.data["failures"]] == ["unavailable"]


def test_a_truncated_file_among_good_ones(cli: Cli, onnx: Path) -> None:
    Path("half.onnx").write_bytes(onnx.read_bytes()[:500])
    found = cli("profile", "half.onnx", onnx, *QUICK, "--json")
    assert found.code == 2
    assert [profile["file"]["name"] for profile in found.data["profiles"]] == ["net.onnx"]
    assert "truncated" in found.data["failures"][0]["reason"]


def test_a_file_for_another_runtime_is_refused_with_what_fits(cli: Cli, onnx: Path) -> None:
    Path("net.engine").write_bytes(b"ftrt" + bytes(1000))
    wrong = cli("profile", "net.engine", "--runtime", "onnxruntime-cpu", *QUICK)
    wrong.refused("net.engine", "onnxruntime-cpu reads .onnx, not .engine", "it fits tensorrt")
    cli("profile", onnx, "--runtime", "tensorrt", *QUICK).refused("net.onnx", "tensorrt reads .engine", "openvino")
    cli("profile", "net.engine", *QUICK).refused("net.engine", "has no record beside it", "--runtime tensorrt")


def test_an_unknown_runtime_and_a_missing_file_end_it_before_it_begins(cli: Cli, onnx: Path) -> None:
    cli("profile", onnx, "none.onnx").refused("none.onnx", "does not exist")
    cli("profile", onnx, "--runtime", "onnxruntime-cpi").refused("did you mean onnxruntime-cpu")
    cli("profile", onnx, "--threads", "0").refused("--threads")


def test_a_size_is_asked_for_where_a_dimension_has_none(cli: Cli, onnx: Path) -> None:
    cli("profile", onnx, "--size", "height=32", *QUICK).refused("no dynamic dimension 'height'")


@pytest.mark.parametrize("ending", ["json", "html", "md"])
def test_a_full_disk_leaves_no_half_report(cli: Cli, onnx: Path, ending: str) -> None:
    """The system refuses to let any file grow beyond 300 bytes, as a full disk would."""
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300)); "
        "from compress.cli.entry import main; import sys; main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", code, "profile", str(onnx), *QUICK, "-o", f"p.{ending}"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "p95" in ended.stdout
    assert ended.stderr.splitlines()[-1] == f"error: p.{ending}: cannot be written (File too large)"
    assert not list(Path().glob("*p.*"))


def test_profiles_round_trip(cli: Cli, onnx: Path) -> None:
    for told in cli("profile", onnx, *QUICK, "--json").data["profiles"]:
        profile = deploy.Profile.model_validate(told)
        assert profile.sensors or profile.no_sensors
