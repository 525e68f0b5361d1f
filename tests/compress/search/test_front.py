from __future__ import annotations

import json
from pathlib import Path

import pytest

from compress.errors import InputError, PlanError
from compress.search.encoding import Candidate
from compress.search.front import Found, Front, best


def _found(number: int, loss: float, cost: float) -> Found:
    return Found(number, loss, cost, Candidate({"g": number + 1}, {"w": 0.5}))


FRONT = Front(
    tuple(_found(*row) for row in ((4, 2.0, 2.0), (1, 0.9, 3.0), (7, 0.8, 6.0), (2, 0.7, 9.0))),
    ((3, 2.5, 8.0),),
    "latency",
    "ms",
    10.0,
    0.6,
    {"data": "digits"},
    {"trials": 5},
)


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ("latency=0.65", [7]),
        ("latency=30%", [1]),
        ("latency=9ms", [2]),
        ("latency=1", [2]),
        ("knee", [1]),
        ("all", [4, 1, 7, 2]),
        ("all=2", [4, 2]),
        ("all=1", [4]),
        ("all=9", [4, 1, 7, 2]),
    ],
)
def test_picks(wanted: str, numbers: list[int]) -> None:
    assert [found.number for found in FRONT.pick(wanted)] == numbers


def test_an_infeasible_latency_says_the_floor() -> None:
    with pytest.raises(PlanError, match=r"floor.*2 ms, latency=0\.200"):
        FRONT.pick("latency=0.1")


@pytest.mark.parametrize("wanted", ["latency", "latency=-1", "latency=nan", "macs=0.5", "elbow", "all=0", "all=x", ""])
def test_picks_that_make_no_sense(wanted: str) -> None:
    with pytest.raises(PlanError, match="--pick"):
        FRONT.pick(wanted)


def test_a_front_is_what_no_other_beats() -> None:
    rows = [(0, 1.0, 5.0), (1, 1.0, 4.0), (2, 0.5, 6.0), (3, float("inf"), 1.0), (4, 0.6, 7.0), (5, 0.5, 6.0)]
    assert [found.number for found in best([_found(*row) for row in rows])] == [1, 2]


def test_a_file_holds_everything_and_what_is_no_front_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "front.json"
    FRONT.save(path)
    assert Front.load(path) == FRONT
    document = json.loads(path.read_text())
    for wrong, reason in (
        ("{", "is not JSON"),
        ("[]", "is no front"),
        (json.dumps({**document, "version": 99}), "has version 99"),
        (json.dumps({**document, "points": [{}]}), "is damaged"),
    ):
        path.write_text(wrong)
        with pytest.raises(InputError, match=reason):
            Front.load(path)
    with pytest.raises(InputError, match="cannot be read"):
        Front.load(tmp_path / "nowhere.json")
