"""What the usual search misses: a wider one finds it, and where none is found nothing is claimed that was not shown."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import compress
from compress import Program
from compress.allocation import TOLERANCE, Allocation, Ladder, Target, allocate, parse_targets
from tests.compress.allocation_models import Chain, chain_groups

Figures = NDArray[np.float64]


def chosen(model: Chain, targets: str | tuple[Target, ...], scores: dict[str, Figures] | None = None) -> Allocation:
    """Widths for ``targets``; under global scope where scores are given, else local."""
    groups = chain_groups(model.full.tolist())
    asked = parse_targets(targets) if isinstance(targets, str) else targets
    return allocate(
        model,
        groups,
        scores or {group.name: np.ones(group.width) for group in groups},
        asked,
        scope="global" if scores else "local",
        granularity=1,
        fixed_ratios={},
    )


@pytest.mark.parametrize("scope", ["global", "local"])
def test_three_targets_that_few_widths_meet_together(family: Callable[[str], Program], scope: str) -> None:
    """The peak of this network has few levels: 0.708 is near enough to 0.7, its neighbours are not."""
    targets = ("macs=0.5", "params=0.5", "memory=0.7")
    first, again = (compress.prune(family("resnet20_a"), targets, scope=scope, granularity=1) for _ in range(2))
    report = first.report
    assert report.note is None, report.note
    for measure, share in (("macs", 0.5), ("params", 0.5), ("memory", 0.7)):
        assert abs(getattr(report.after, measure) / getattr(report.before, measure) - share) <= TOLERANCE
    assert first.plan.sha256() == again.plan.sha256()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["global", "local"]))
def test_what_some_choice_reaches_in_three_measures_is_reached(seed: int, scope: str) -> None:
    generator = np.random.default_rng(seed)
    count = int(generator.integers(5, 9))
    prices = {measure: generator.uniform(0.5, 5.0, count + 1).tolist() for measure in ("macs", "params", "memory")}
    model = Chain(generator.integers(24, 128, count).tolist(), prices)
    known = np.ceil(model.full * generator.uniform(0.3, 1.0, count)).astype(np.int64)
    targets = tuple(Target(measure, float(model.relative(measure, known)[0])) for measure in prices)
    scores = {f"layer{at}": generator.gamma(2.0, 0.5, width) for at, width in enumerate(model.full.tolist())}
    found = chosen(model, targets, scores if scope == "global" else None)
    assert not found.shortfalls, found.note


def test_where_all_choices_were_looked_at_what_is_said_is_shown_and_exact() -> None:
    model = Chain([9, 7, 8], {"macs": [1.0, 2.0, 1.0, 3.0], "params": [1.0, 2.0, 1.0, 3.0], "memory": [1.0] * 4})
    every = np.array(list(itertools.product(*(Ladder(group, 1, 0.0).rungs for group in chain_groups([9, 7, 8])))))
    macs, params, peak = (model.relative(measure, every) for measure in ("macs", "params", "memory"))
    (missed,) = chosen(model, "macs=0.5,params=0.8").shortfalls
    kept = params[np.abs(macs - 0.5) <= TOLERANCE]
    assert (missed.obstacle, missed.shown) == ("macs=0.5", True)
    assert (missed.lowest, missed.highest) == (kept.min(), kept.max())
    assert missed.achieved == kept.max()
    assert "params=0.8 conflicts with macs=0.5" in str(missed)
    assert "kept the range is" in str(missed)
    levels = np.unique(peak)
    wide = int(np.diff(levels).argmax())
    between = float(levels[wide : wide + 2].mean())
    (missed,) = chosen(model, (Target("memory", between),)).shortfalls
    assert (missed.obstacle, missed.shown) == ("granularity", True)
    assert abs(missed.achieved - between) == pytest.approx(np.abs(peak - between).min())
    assert str(missed).endswith("is the nearest that this granularity allows")


def test_where_not_all_choices_were_looked_at_nothing_is_called_impossible() -> None:
    same = [1.0] * 9
    model = Chain([40] * 8, {"macs": same, "params": same, "memory": [50.0, *same]})
    targets = (Target("memory", 0.5), Target("macs", 0.3), Target("params", 0.45))
    found = chosen(model, targets)
    assert [abs(share - target.share) <= TOLERANCE for share, target in zip(found.achieved, targets, strict=True)] == [
        True,
        True,
        False,
    ]
    for missed in found.shortfalls:
        assert not missed.shown
        assert "allows" not in str(missed)
        assert "conflicts" not in str(missed)
        assert "found" in str(missed)


def test_floors_are_shown_and_of_several_steps_nothing_else_is() -> None:
    model = Chain([9, 7, 8], {"macs": [1.0] * 4, "params": [1.0] * 4, "memory": [1.0] * 4})
    (floor,) = chosen(model, "params=0.0001").shortfalls
    assert (floor.obstacle, floor.shown) == ("floor", True)
    whole = Target("params", 0.4)
    step = replace(floor, requested="params=0.8", obstacle="granularity", achieved=0.7)
    said = step.of_whole({"params=0.8": whole}, 0.5)
    assert (said.requested, said.obstacle, said.achieved, said.shown) == ("params=0.4", "search", 0.35, False)
    assert str(said) == "params=0.350 is the nearest found"
