"""``compress search`` as its users call it, small."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import sqlalchemy

import compress
from compress.axes.analysis import analyse
from tests.compress.cli.calling import Cli
from tests.compress.latency import synthetic

SMALL = (
    "--data", "digits", "--objective", "macs", "--population", 4, "--supernet-epochs", 0.3, "--eval-samples", 64,
    "--statistics", 1,
)  # fmt: skip


def _points(folder: Path, name: str = "net") -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
    study = optuna.load_study(study_name=name, storage=f"sqlite:///{folder / 'study.db'}")
    complete = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    return [(tuple(trial.params.values()), tuple(trial.values)) for trial in complete]


def test_an_interrupted_search_ends_as_one_that_was_not(cli: Cli, net: Path, tmp_path: Path) -> None:
    whole = cli("search", net, *SMALL, "--trials", 10, "-o", "whole", "--json")
    assert whole.code == 0, whole.err
    assert cli("search", net, *SMALL, "--trials", 3, "-o", "parts").code == 0
    cli("search", net, *SMALL, "--trials", 10, "-o", "parts").refused("study already", "--resume")
    parts = cli("search", net, *SMALL, "--trials", 10, "-o", "parts", "--resume", "--json")
    assert _points(tmp_path / "parts") == _points(tmp_path / "whole")
    assert len(_points(tmp_path / "whole")) == 10
    assert parts.data["points"] == whole.data["points"]
    found = whole.data["throughput"]
    assert found["trials"] == 10
    assert set(found["seconds"]) == {"train", "evaluate", "select", "storage", "waiting"}
    costs = [point["cost"] for point in whole.data["points"]]
    losses = [point["loss"] for point in whole.data["points"]]
    assert costs == sorted(costs)
    assert losses == sorted(losses, reverse=True)


def test_a_killed_search_goes_on_bit_for_bit(cli: Cli, net: Path, tmp_path: Path) -> None:
    assert cli("search", net, *SMALL, "--trials", 9, "-o", "whole").code == 0
    command = [sys.executable, "-m", "compress", "search", str(net), *map(str, SMALL), "--trials", "9", "-o", "parts"]
    root = Path(compress.__file__).parent.parent
    victim = subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(root)})
    deadline = time.monotonic() + 120
    while victim.poll() is None and time.monotonic() < deadline:
        if (tmp_path / "parts" / "study.db").exists() and len(_safely(tmp_path / "parts")) >= 3:
            break
        time.sleep(0.02)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert cli("search", net, *SMALL, "--trials", 9, "-o", "parts", "--resume").code == 0
    assert _points(tmp_path / "parts") == _points(tmp_path / "whole")


def _safely(folder: Path) -> list[Any]:
    try:
        return _points(folder)
    except (KeyError, optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError):
        return []  # the study is being made


def test_final_models_are_made_exported_measured_and_reported_later(cli: Cli, net: Path, tmp_path: Path) -> None:
    assert cli("search", net, *SMALL, "--trials", 6, "-o", "found").code == 0
    before = (tmp_path / "found" / "study.db").read_bytes()
    made = cli("search", "--from", "found", "--pick", "all=2", "--epochs", 2, "--seconds", 0.2, "--json")
    assert made.code == 0, made.err
    assert (tmp_path / "found" / "study.db").read_bytes() == before
    finals = made.data["finals"]
    assert len(finals) == 2
    for final in finals:
        program = compress.load(tmp_path / "found" / final["network"])
        point = next(point for point in made.data["points"] if point["number"] == final["number"])
        assert {name for name, share in point["densities"].items() if share < 1} == set(program.masks)
        for name, mask in program.masks.items():
            assert 1 - mask.sparsity == pytest.approx(point["densities"][name], abs=0.03)
        assert final["nonzero_macs"] == program.count().nonzero_macs
        assert np.isclose(final["nonzero_macs"], point["cost"], rtol=0.03)
        assert final["measured"] > 0
        assert final["measured_dense"] > 0
        assert 0 < final["accuracy"]["top1"] <= 1
        assert (tmp_path / "found" / final["deployed"]).exists()
    page = (tmp_path / "found" / "report.html").read_text()
    assert "chart-search" in page
    assert page.count('class="pick" data-card="search-card"') == len(made.data["points"])
    document = json.loads((tmp_path / "found" / "report.json").read_text())
    assert [point["role"] for point in document["points"]] == ["baseline", "candidate", "candidate"]
    again = cli("search", "--from", "found", "--pick", "all=2", "--epochs", 2, "--seconds", 0.2)
    assert again.err.count("was made before") == 2


def test_a_latency_model_is_searched_by_and_bounds_what_can_be_picked(cli: Cli, net: Path, tmp_path: Path) -> None:
    model = synthetic.calibrated(analyse(compress.load(net)), sparse=True)
    model.save(tmp_path / "sparse.latency.json")
    known = ("--data", "digits", *SMALL[4:], "--latency-model", "sparse.latency.json", "--trials", 4)
    found = cli("search", net, *known, "--json")
    assert found.code == 0, found.err
    assert found.data["cost"]["name"] == "latency"
    assert model.key.runtime in found.err
    bound = model.bind(analyse(compress.load(tmp_path / "net.search" / "dense.pt2")))
    assert found.data["cost"]["dense"] == pytest.approx(bound.dense)
    for point in found.data["points"]:
        widths = np.array([point["widths"][name] for name in bound.groups])
        densities = np.array([point["densities"].get(name, 1.0) for name in bound.layers])
        assert point["cost"] == pytest.approx(bound.milliseconds(widths, densities)[0])
    cli("search", net, *known, "-o", "x", "--pick", "latency=0.01").refused("floor", "latency=0.")
    cli("search", net, *known, "-o", "x", "--runtime", "openvino").refused("calibrated for runtime")
    synthetic.calibrated(analyse(compress.load(net))).save(tmp_path / "dense.latency.json")
    dense = (*known[:-4], "--latency-model", "dense.latency.json", "--trials", 2)
    cli("search", net, *dense, "-o", "x", "--decide", "weights").refused("calibrated for dense weights")
    widths_alone = cli("search", net, *dense, "-o", "y")
    assert "layers stay dense" in widths_alone.err


def test_widths_or_weights_alone(cli: Cli, net: Path, tmp_path: Path) -> None:
    for decide, whole in (("widths", "densities"), ("weights", "widths")):
        outcome = cli("search", net, *SMALL, "--trials", 4, "--decide", decide, "-o", decide, "--json")
        dense = compress.load(tmp_path / decide / "dense.pt2")
        full = {group.name: group.width for group in dense.groups()}
        for point in outcome.data["points"]:
            if whole == "densities":
                assert set(point["densities"].values()) == {1.0}
            else:
                assert point["widths"] == {name: full[name] for name in point["widths"]}


def test_other_settings_or_another_network_are_refused_by_fingerprint(cli: Cli, net: Path, weights: Path) -> None:
    assert cli("search", net, *SMALL, "--trials", 2, "-o", "found").code == 0
    again = ("-o", "found", "--resume", "--trials", 2)
    cli("search", net, *SMALL, "--seed", 1, *again).refused("another search", "seed was 0, is now 1")
    cli("search", net, *SMALL, "--lowest-width", 0.25, *again).refused("other decisions or bounds")
    other = cli("search", "models:digitsnet", *SMALL, *again, "--study", "net")
    assert other.code == 2
    del weights


def test_what_cannot_be_is_refused_before_anything_is_done(cli: Cli, net: Path, tmp_path: Path) -> None:
    cli("search").refused("CHECKPOINT")
    cli("search", net).refused("--data")
    cli("search", net, "--data", "digits", "--latency-model", "none.json").refused("none.json")
    cli("search", net, *SMALL, "--pick", "macs=0.01").refused("floor", "macs=")
    cli("search", net, *SMALL, "--pick", "latency=0.5").refused("minimised macs")
    cli("search", net, *SMALL, "--resume").refused("no study to go on with")
    cli("search", net, *SMALL, "--storage", "nonsense").refused("is no storage")
    cli("search", net, *SMALL, "--ignore", "nothing*").refused("matches no layer")
    cli("search", net, *SMALL, "--start", "scratch", "--lowest-width", 1, "--lowest-density", 1).refused("nothing")
    cli("search", "--from", tmp_path, "--pick", "all").refused("front.json")
    cli("search", "--from", tmp_path).refused("--pick")
    cli("search", "--from", tmp_path, "--pick", "all", "--trials", 3).refused("--trials belongs to the search")
    cli("search", net, "--from", tmp_path, "--pick", "all").refused("leave CHECKPOINT out")
    assert not (tmp_path / "net.search").exists() or not list((tmp_path / "net.search").glob("*.db"))
