"""Targets and ladders of widths."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from compress.allocation import TOLERANCE, Allocation, Ladder, Target, allocate, parse_targets
from compress.axes.analysis import Analysis, analyse
from compress.axes.groups import Group, Member
from compress.errors import PlanError
from compress.sizes import SizeModel
from tests.compress.networks import Classifier, captured

Scores = dict[str, NDArray[np.float64]]


def group(width: int, cell: int = 1) -> Group:
    indices = np.arange(width * cell).reshape(width, cell)
    return Group("layer", "exact", None, (Member("layer.weight", 0, indices),), np.arange(width))


@pytest.mark.parametrize(
    ("width", "cell", "granularity", "least", "expected"),
    [
        (16, 1, 8, 0.0, [8, 16]),
        (20, 1, 8, 0.0, [8, 16, 20]),
        (6, 1, 8, 0.0, [6]),
        (6, 1, 1, 0.0, [1, 2, 3, 4, 5, 6]),
        (20, 1, 4, 0.3, [8, 12, 16, 20]),
        (8, 4, 8, 0.0, [2, 4, 6, 8]),
        (6, 16, 8, 0.0, [1, 2, 3, 4, 5, 6]),
        (6, 12, 8, 0.0, [2, 4, 6]),
        (1, 1, 8, 0.1, [1]),
    ],
)
def test_allowed_widths(width: int, cell: int, granularity: int, least: float, expected: list[int]) -> None:
    ladder = Ladder(group(width, cell), granularity, least)
    assert ladder.rungs.tolist() == expected
    wanted = np.array([*expected, 0, 10**6], np.float64)
    assert ladder.nearest(wanted).tolist() == [*expected, expected[0], expected[-1]]


def test_of_two_equally_near_widths_the_wider_is_taken() -> None:
    assert Ladder(group(16), 8, 0.0).nearest(np.array([11.9, 12.0])).tolist() == [8, 16]


def test_neighbours_are_the_next_allowed_widths() -> None:
    ladder = Ladder(group(24), 8, 0.0)
    assert ladder.neighbours(8) == [16]
    assert ladder.neighbours(16) == [8, 24]
    assert ladder.neighbours(24) == [16]


def test_targets_are_read_and_written() -> None:
    assert str(Target.parse("macs=0.50")) == "macs=0.5"
    assert Target.parse("ratio=1") == Target("ratio", 1.0)
    for wrong in ("", "macs", "macs=", "=0.5", "MACS=0.5", "macs=-0.1", "macs=inf", "macs=0,5"):
        with pytest.raises(PlanError):
            Target.parse(wrong)


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return analyse(captured(Classifier()))


def chosen(
    analysis: Analysis,
    scores: dict[str, NDArray[np.float64]],
    target: str,
    *,
    scope: str = "global",
    granularity: int = 1,
) -> Allocation:
    groups = analysis.prunable
    return allocate(
        SizeModel(analysis, groups),
        groups,
        scores,
        Target.parse(target),
        scope=scope,
        granularity=granularity,
        fixed_ratios={},
    )


def widths(analysis: Analysis) -> list[int]:
    return [group.width for group in analysis.prunable]


def test_whole_networks_stay_whole(analysis: Analysis) -> None:
    found = chosen(analysis, {group.name: np.ones(group.width) for group in analysis.prunable}, "macs=1", granularity=8)
    assert found.widths.tolist() == widths(analysis)
    assert (found.achieved, found.note) == ((1.0,), None)


@pytest.mark.parametrize("scope", ["global", "local"])
def test_equal_scores_still_reach_the_target(analysis: Analysis, scope: str) -> None:
    scores = {group.name: np.zeros(group.width) for group in analysis.prunable}
    assert abs(chosen(analysis, scores, "macs=0.5", scope=scope).achieved[0] - 0.5) <= TOLERANCE


def test_groups_without_scores_stay_whole(analysis: Analysis) -> None:
    first = analysis.prunable[0]
    found = chosen(analysis, {first.name: np.arange(first.width, dtype=float)}, "params=0.9")
    assert found.widths[0] < first.width
    assert found.widths[1:].tolist() == widths(analysis)[1:]


def test_global_scope_takes_from_where_scores_are_low_and_empties_nothing(analysis: Analysis) -> None:
    scores = {group.name: np.ones(group.width) for group in analysis.prunable}
    weak = analysis.prunable[1]
    scores[weak.name] = np.r_[np.full(weak.width // 2, 0.01), np.ones(weak.width - weak.width // 2)]
    shares = chosen(analysis, scores, "macs=0.8").widths / np.array(widths(analysis))
    assert shares[1] == shares.min()
    lowest = chosen(analysis, scores, "macs=0.01")
    assert (lowest.widths / np.array(widths(analysis)) >= 0.1).all()
    assert lowest.note is not None


def test_several_targets_are_read() -> None:
    wanted = (Target("macs", 0.5), Target("params", 0.6))
    assert parse_targets("macs=0.5,params=0.6") == parse_targets(("macs=0.5", "params=0.6")) == wanted
    assert parse_targets("memory=0.5") == (Target("memory", 0.5),)
    for wrong, said in (((), "no target"), ("macs=0.5,macs=0.6", "2 targets"), ("macs=0.5,", "not understood")):
        with pytest.raises(PlanError, match=said):
            parse_targets(wrong)
