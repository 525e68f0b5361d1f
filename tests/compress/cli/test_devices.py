"""``--device`` as a user gives it: names, addresses, all; and what is said of those that are not there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from deploy.report import read_json
from tests.compress.cli.calling import Cli

QUICK = ("--seconds", "0.1")
# Stands in for the network only: it gives the line to a shell, as a server does. Hosts called lost are not there.
SSH = """#!/bin/sh
while [ "$1" != -- ]; do shift; done
[ "$2" = lost ] && { echo "ssh: connect to host lost port 22: Connection refused" >&2; exit 255; }
exec sh -c "$3"
"""


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A devices.yaml of three devices, one of which is not there."""
    program = tmp_path / "programs" / "ssh"
    program.parent.mkdir()
    program.write_text(SSH)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    path = tmp_path / "devices.yaml"
    path.write_text(
        f"pi: {{ssh: ssh://me@pi, python: {sys.executable}}}\n"
        f"jetson: {{ssh: ssh://me@jetson, python: {sys.executable}, threads: [1, 2]}}\n"
        "lost: {ssh: ssh://me@lost}\n"
    )
    return path


def test_devices_are_measured_and_compared_in_one_report(cli: Cli, onnx: Path, devices: Path) -> None:
    found = cli("profile", onnx, "--device", "pi", "--device", "jetson", "--device", "here", *QUICK, "-o", "p.json")
    assert found.code == 0, found.err
    assert "pi: onnxruntime-cpu" in found.out
    report = read_json("p.json")
    told = [(profile.target, profile.conditions.threads) for profile in report.profiles]
    assert told == [("pi", 1), ("jetson", 1), ("jetson", 2), ("here", 1)]
    assert len({profile.file.sha256 for profile in report.profiles}) == 1


def test_what_is_asked_for_counts_more_than_what_the_file_says(cli: Cli, onnx: Path, devices: Path) -> None:
    asked = ("--device", "jetson", "--threads", "1", "--batch", "4", "--operators")
    (profile,) = cli("profile", onnx, *asked, *QUICK, "--json").data["profiles"]
    assert (profile["target"], profile["conditions"]["threads"], profile["conditions"]["batch"]) == ("jetson", 1, 4)
    assert profile["operators"]


def test_the_same_json_as_here(cli: Cli, onnx: Path, devices: Path) -> None:
    there = cli("profile", onnx, "--device", "pi", *QUICK, "--json").data
    here = cli("profile", onnx, *QUICK, "--json").data
    assert there.keys() == here.keys()
    assert there["profiles"][0].keys() == here["profiles"][0].keys()
    assert there["profiles"][0]["file"] == here["profiles"][0]["file"]


def test_all_goes_on_without_the_one_that_is_lost(cli: Cli, onnx: Path, devices: Path) -> None:
    found = cli("profile", onnx, "--device", "all", *QUICK, "--json")
    assert found.code == 4
    assert {profile["target"] for profile in found.data["profiles"]} == {"pi", "jetson"}
    (failure,) = found.data["failures"]
    assert (failure["target"], failure["kind"]) == ("lost", "unavailable")
    assert "1 could not be measured: net.onnx in onnxruntime-cpu on lost: it does not answer" in found.err


@pytest.mark.parametrize(
    ("device", "said", "code"),
    [
        ("lost", "device lost: it does not answer on port 22 (Connection refused)", 4),
        ("ssh://me@lost", "device ssh://me@lost: it does not answer", 4),
        ("jetsn", "did you mean jetson?", 2),
        ("ssh://me:secret@pi", "holds a password", 2),
        ("ssh://-oProxyCommand=touch owned", "is no device's address", 2),
        ("", "no device is called ''", 2),
    ],
)
def test_what_cannot_be_is_one_line(
    device: str, said: str, code: int, cli: Cli, onnx: Path, devices: Path, tmp_path: Path
) -> None:
    found = cli("profile", onnx, "--device", device)
    found.refused(said, code=code)
    assert "secret" not in found.err
    assert not list(tmp_path.rglob("owned"))


def test_another_file_may_name_them(cli: Cli, onnx: Path, devices: Path) -> None:
    other = devices.with_name("other.yaml")
    other.write_text("board: {ssh: ssh://me@lost}\n")
    cli("profile", onnx, "--device", "board", "--devices", other).refused("device board: it does not answer", code=4)
    cli("profile", onnx, "--device", "pi", "--devices", other).refused("no device is called 'pi'")
    cli("profile", onnx, "--device", "pi", "--devices", "none.yaml").refused("none.yaml: cannot be read")
    other.write_text("board: {ssh: ssh://me@lost, password: secret}\n")
    cli("profile", onnx, "--device", "board", "--devices", other).refused("set up a key")


def test_doctor_says_what_devices_have(cli: Cli, devices: Path) -> None:
    found = cli("doctor", "--device", "pi")
    assert found.code == 0, found.err
    assert f"Python {'.'.join(map(str, sys.version_info[:3]))}" in found.out
    assert "pi: runtime onnxruntime-cpu" in found.out
    lost = cli("doctor", "--device", "all", "--json")
    assert lost.code == 4
    findings = {finding["part"]: finding["state"] for finding in lost.data["findings"]}
    assert findings["jetson: machine"] == "ok"
    assert findings["lost"] == "missing"
