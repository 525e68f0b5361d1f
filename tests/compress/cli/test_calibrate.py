"""``compress calibrate``, on a runtime that takes as long as a formula says; the files are real."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import deploy
from compress.latency import LatencyModel
from compress.pipeline.calibration_bench import Bench, Ratio, Round
from compress.pipeline.calibration_files import Files
from deploy.records import Profile
from tests.compress.cli.calling import Cli

SMALL = ("--configurations", 16, "--held-out", 4)
Cost = Callable[[Path], dict[str, float]]


def blocked(path: Path) -> dict[str, float]:
    """Milliseconds of each layer by the sizes of its weight in the file."""
    model = onnx.load(str(path))
    sizes = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    found: dict[str, float] = {}
    for node in model.graph.node:
        layer = next((entry.value for entry in node.metadata_props if entry.key == "compress.layer"), "")
        if node.op_type in ("Conv", "Gemm", "MatMul") and node.input[1] in sizes:
            dims = np.array(sizes[node.input[1]][:2])
            found[layer] = float(0.02 + 0.01 * np.ceil(dims / 8).prod())
    return found


class FakeBench:
    """Stands in for :class:`Bench`: no time is taken, the formula tells it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rounds = 0
        self.cost: Cost = blocked
        self.stop_at: int | None = None
        self.slow: set[int] = set()
        self._profile: Profile | None = None
        monkeypatch.setattr(Bench, "measure", lambda _bench, *given, **named: self.measure(*given, **named))

    def measure(self, dense: Path, files: Sequence[Path], *, apart: bool, **_: Any) -> Round:
        self.rounds += 1
        if self.rounds == self.stop_at:
            raise KeyboardInterrupt
        if self._profile is None:
            self._profile = deploy.profile(dense, seconds=0.02)
        whole = sum(self.cost(dense).values())
        base = self._profile.model_copy(update={"p50": self._profile.p50.model_copy(update={"value": whole})})
        found: list[Ratio | str] = []
        for number, path in enumerate(files):
            took = self.cost(path)
            off = 3.0 if 100 * self.rounds + number in self.slow or number in self.slow else 1.0
            total = sum(took.values())
            shares = {name: value / total for name, value in took.items()} if apart else {}
            found.append(Ratio(off * total / whole, 0.01, shares))
        return Round(base, found)


_EXPORTED: dict[tuple[str, bytes], bytes] = {}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> FakeBench:
    """No time is taken, and what was exported once is not exported again."""
    export = Files._export

    def cached(self: Files, path: Path, widths: np.ndarray[Any, np.dtype[np.int64]]) -> None:
        key = (self._analysis.program.fingerprint(), widths.tobytes())
        if key not in _EXPORTED:
            export(self, path, widths)
            _EXPORTED[key] = path.read_bytes()
        path.write_bytes(_EXPORTED[key])

    monkeypatch.setattr(Files, "_export", cached)
    return FakeBench(monkeypatch)


def test_the_model_is_written_and_its_error_told(cli: Cli, net: Path, bench: FakeBench) -> None:
    ended = cli("calibrate", net, *SMALL)
    assert ended.code == 0, ended.err
    assert "Held-out configurations" in ended.out
    assert "over 4 configurations that were not fitted to" in ended.out
    model = LatencyModel.load("net.latency.json")
    assert model.key.runtime == "onnxruntime-cpu"
    assert model.key.threads == 1
    assert model.step == 4
    assert model.held_out.error < 0.1
    assert not Path("net.latency.run").exists()
    cli("calibrate", net, *SMALL).refused("net.latency.json", "exists already", "--force")


def test_json_has_what_was_predicted_and_measured(cli: Cli, net: Path, bench: FakeBench) -> None:
    found = cli("calibrate", net, *SMALL, "-o", "cpu.latency.json", "--json").data
    assert len(found["held_out"]) == 4
    for one in found["held_out"]:
        assert one["predicted"] == pytest.approx(one["measured"], rel=0.3)
    assert found["network"]["held_out"]["configurations"] == 4
    assert found["kinds"] == len(LatencyModel.load("cpu.latency.json").kinds)


def test_an_interrupted_calibration_goes_on_where_it_stopped(cli: Cli, net: Path, bench: FakeBench) -> None:
    bench.stop_at = 3
    stopped = cli("calibrate", net, *SMALL)
    assert stopped.code == 130
    assert "run the same command again to go on (measurements in " in stopped.err
    assert "net.latency.run)" in stopped.err
    kept = json.loads(Path("net.latency.run/calibration.json").read_text())
    assert (len(kept["fitted"]), len(kept["held_out"])) == (8, 4)
    cli("calibrate", net, *SMALL, "--threads", 2).refused("belongs to a different run", "threads was 1, is now 2")
    bench.stop_at = None
    ended = cli("calibrate", net, *SMALL, "--json")
    assert ended.code == 0, ended.err
    assert "going on after 12 configurations" in ended.err
    assert bench.rounds == 5, "the rounds before the interruption are not repeated"


def test_what_contradicts_itself_is_refused_with_the_reason(cli: Cli, net: Path, bench: FakeBench) -> None:
    bench.slow = {3, 5}  # some of every round
    cli("calibrate", net, *SMALL).refused("close what else runs on the device", "--restart", code=3)
    assert not Path("net.latency.json").exists()
    assert Path("net.latency.run").exists(), "what was measured is kept"
    bench.slow = set()
    assert cli("calibrate", net, *SMALL, "--restart").code == 0


def test_another_network_adds_its_kinds_of_layers(cli: Cli, net: Path, bench: FakeBench) -> None:
    assert cli("calibrate", net, *SMALL, "-o", "cpu.latency.json").code == 0
    before = LatencyModel.load("cpu.latency.json")
    larger = ("models:digitsnet", "--input-size", "1x16x16")
    ended = cli("calibrate", "--update", "cpu.latency.json", *larger, *SMALL)
    assert ended.code == 0, ended.err
    after = LatencyModel.load("cpu.latency.json")
    assert set(before.kinds) < set(after.kinds)
    assert [network.name for network in after.networks] == ["net.pt2", "models:digitsnet"]
    cli("calibrate", "--update", "cpu.latency.json", *larger, "--step", 8).refused("in steps of 4 channels, not 8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("missing.pt",), ("missing.pt", "no such file")),
        (("net.pt2", "--configurations", 3), ("configurations",)),
        (("net.pt2", "--lowest-width", 0), ("lowest-width",)),
        (("net.pt2", "-o", "nowhere/x.json"), ("its folder does not exist",)),
        (("net.pt2", "--update", "missing.json"), ("missing.json", "does not exist")),
        (("net.pt2", "--update", "net.pt2"), ("is not a latency model",)),
        (("net.pt2", "--sparse", "--step", 2), ("--step 2 does not go with --sparse",)),
        (("net.pt2", "--device", "nowhere"), ("nowhere",)),
    ],
)
def test_mistakes_are_told_in_one_line(
    cli: Cli, net: Path, arguments: tuple[object, ...], words: tuple[str, ...]
) -> None:
    cli("calibrate", *arguments).refused(*words)


def test_a_runtime_that_is_not_known_is_told(cli: Cli, net: Path) -> None:
    cli("calibrate", net, "--runtime", "onnxruntime-nothing").refused("onnxruntime-nothing")
