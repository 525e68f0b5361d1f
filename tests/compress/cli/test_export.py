"""``compress export``: what is written, verified and recorded."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import onnx as onnx_package
import pytest

from compress.errors import UnavailableError
from exporters import _tensorrt
from tests.compress.cli.calling import Cli


def tensorrt_missing() -> str | None:
    try:
        _tensorrt.find()
    except UnavailableError as error:
        return str(error)
    return None


def test_onnx_beside_the_checkpoint_is_the_default(cli: Cli, net: Path) -> None:
    found = cli("export", net, "--json")
    assert found.code == 0, found.err
    onnx_package.checker.check_model(str(net.with_suffix(".onnx")), full_check=True)
    artifact = found.data["artifacts"][0]
    assert artifact["status"] == "verified"
    assert artifact["verification"]["max_error"] <= artifact["verification"]["allowed"]
    record = json.loads(net.with_name("net.export.json").read_text())
    assert record == found.data
    assert record["source"]["file"] == "net.pt2"


def test_real_inputs_join_the_verification(cli: Cli, net: Path) -> None:
    found = cli("export", net, "--data", "digits", "--json").data
    assert found["artifacts"][0]["verification"]["real_samples"] > 0


def test_a_new_folder_is_made_and_the_record_points_back(cli: Cli, net: Path) -> None:
    assert cli("export", net, "-o", "deep/out").code == 0
    record = json.loads(Path("deep/out/net.export.json").read_text())
    assert record["source"]["file"] == "../../net.pt2"


def test_nothing_is_overwritten_without_force(cli: Cli, net: Path, onnx: Path) -> None:
    before = onnx.read_bytes()
    cli("export", net).refused("net.onnx", "--force")
    assert onnx.read_bytes() == before
    assert cli("export", net, "--force").code == 0


def test_without_a_checkpoint_the_newest_network_of_this_tool_is_taken(cli: Cli, net: Path, weights: Path) -> None:
    newest = Path(shutil.copy(net, net.with_name("newest.pt2")))
    os.utime(net, (1, 1))
    newest.with_name("foreign.pt2").write_bytes(b"not ours")
    ended = cli("export")
    assert ended.code == 0, ended.err
    assert "newest.pt2" in ended.err
    assert Path("newest.onnx").exists()


def test_without_a_checkpoint_and_without_networks_it_says_so(cli: Cli, weights: Path) -> None:
    cli("export").refused("no network written by this tool")


def test_a_file_in_place_of_the_folder_is_refused(cli: Cli, net: Path) -> None:
    cli("export", net, "-o", net).refused("net.pt2", "folder")


def test_missing_tensorrt_names_the_extra_and_writes_nothing(
    cli: Cli, net: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(_tensorrt, "_FULL", ("no_such_tensorrt",))
    monkeypatch.setattr(_tensorrt, "_AHEAD", ("no_such_tensorrt_rtx",))
    cli("export", net, "--onnx", "--trt").refused("pip install 'compress-toolchain[tensorrt]'", code=4)
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt2"]


@pytest.mark.skipif(tensorrt_missing() is not None, reason=f"TensorRT cannot be used here: {tensorrt_missing()}")
def test_engines_are_compiled_and_reported_as_not_executed(cli: Cli, net: Path) -> None:
    found = cli("export", net, "--trt", "--compute-capability", "8.6", "--json")
    assert found.code == 0, found.err
    (engine,) = found.data["engines"]
    assert engine["status"] == "compiled ahead of time, not executed"
    assert Path(engine["path"]).stat().st_size == engine["bytes"]
    assert not Path("net.onnx").exists()


@pytest.mark.skipif(tensorrt_missing() is not None, reason=f"TensorRT cannot be used here: {tensorrt_missing()}")
def test_an_unknown_compute_capability_is_refused(cli: Cli, net: Path) -> None:
    cli("export", net, "--trt", "--compute-capability", "1.0").refused("1.0")
