"""``compress search --method spaces`` as its users call it, small."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import compress
from compress.search.spaces.result import Result
from deploy.report import read_json
from tests.compress.cli.calling import Cli

SMALL = (
    *("--method", "spaces", "--data", "digits", "--regime", 0.5),
    *("--recipes", 4, "--refined", 2, "--buckets", 2, "--steps", 2),
)


def test_distributions_a_report_and_plans_that_prune(cli: Cli, net: Path, tmp_path: Path) -> None:
    found = cli("search", net, *SMALL, "-o", "out", "--json")
    assert found.code == 0, found.err
    (regime,) = found.data["regimes"]
    assert regime["share"] == 0.5
    assert len(regime["initial"]["errors"]) == 4
    assert {reading["reading"] for reading in regime["readings"]} == {"network", "stages"}
    assert Result.load(tmp_path / "out" / "spaces.json").to_json()["regimes"] == found.data["regimes"]
    report = read_json(tmp_path / "out" / "report.json")
    assert report.spaces is not None
    assert report.spaces.regimes[0].initial_errors == regime["initial"]["errors"]
    assert "chart-spaces-0" in (tmp_path / "out" / "report.html").read_text()
    plan = tmp_path / "out" / "plans" / "0.5-initial.plan.json"
    settings = json.loads(plan.read_text())["settings"]
    assert settings["error"] == min(regime["initial"]["errors"])
    assert cli("prune", net, "--plan", plan, "-o", "small.pt2").code == 0
    dense, small = (compress.load(path).count().macs for path in (net, tmp_path / "small.pt2"))
    assert small / dense == pytest.approx(0.5, abs=0.011)


def test_it_goes_on_where_it_stopped_and_refuses_another_search(cli: Cli, net: Path, tmp_path: Path) -> None:
    shared = ("--storage", f"sqlite:///{tmp_path / 'shared.db'}")
    first = cli("search", net, *SMALL, *shared, "-o", "one", "--json")
    again = cli("search", net, *SMALL, *shared, "-o", "two", "--json")
    assert again.data["regimes"] == first.data["regimes"]
    assert again.data["settings"]["seconds"]["evaluate"] == 0  # nothing was left to be judged
    cli("search", net, *SMALL, *shared, "-o", "three", "--lr", 0.5).refused("belongs to another search")
    cli("search", net, *SMALL, "-o", "four", "--resume").refused("holds no search to go on with")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--trials", 9), ("--trials does not belong to --method spaces",)),
        (("--pick", "knee"), ("--pick does not belong",)),
        (("--recipes", 3, "--buckets", 2), ("too few", "--recipes 4")),
        (("--regime", 0.5), ("given twice",)),
        (("--least-share", 0.95), ("50% of the MACs", "the smallest has")),
        (("--ignore", "nothing*"), ("matches no layer",)),
        (("-o", "missing/out"), ("create missing first",)),
    ],
)
def test_what_cannot_be_is_refused(cli: Cli, net: Path, given: tuple[object, ...], words: tuple[str, ...]) -> None:
    cli("search", net, *SMALL, *given).refused(*words)


def test_its_options_do_not_belong_to_the_other_method(cli: Cli, net: Path) -> None:
    asked = ("search", net, "--data", "digits", "--objective", "macs")
    cli(*asked, "--recipes", 9).refused("--recipes does not belong to --method jcw")
    cli("search", "--method", "spaces", "--data", "digits").refused("takes a CHECKPOINT")
