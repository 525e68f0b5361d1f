"""Sets of groups that keep one share, through :func:`compress.allocation.allocate`."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.allocation import TOLERANCE, Allocation, Ladder, Target, Tied, allocate
from compress.axes.groups import Group
from tests.compress.allocation_models import Chain, chain_groups


def allocated(
    widths: list[int], tied: tuple[Tied, ...], share: float, granularity: int = 1, **options: object
) -> Allocation:
    prices = {measure: [1.0] * (len(widths) + 1) for measure in ("macs", "params", "memory")}
    groups = chain_groups(widths)
    generator = np.random.default_rng(sum(widths))
    scores = {group.name: generator.uniform(0.5, 1.5, group.width) for group in groups}
    arguments = {"scope": "global", "granularity": granularity, "fixed_ratios": {}, "tied": tied} | options
    return allocate(Chain(widths, prices), groups, scores, Target("macs", share), **arguments)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(
    widths=st.lists(st.sampled_from([6, 8, 12, 16, 24, 36]), min_size=4, max_size=7),
    first=st.integers(2, 3),
    share=st.floats(0.2, 0.9),
    granularity=st.sampled_from([1, 2, 4]),
    scope=st.sampled_from(["global", "local"]),
)
def test_tied_groups_keep_one_share_and_the_target_is_met_or_the_reason_told(
    widths: list[int], first: int, share: float, granularity: int, scope: str
) -> None:
    names = tuple(f"layer{at}" for at in range(first))
    found = allocated(widths, (Tied(names, "for a test"),), share, granularity, scope=scope)
    shares = {int(found.widths[at]) / widths[at] for at in range(first)}
    assert max(shares) - min(shares) < 1e-9
    assert abs(found.achieved[0] - share) <= TOLERANCE or found.note
    for at in range(first, len(widths)):
        assert found.widths[at] % granularity == 0 or found.widths[at] == widths[at]


def test_nothing_but_the_tie_is_lost() -> None:
    """Among all choices that keep the tie none is nearer."""
    widths = [6, 12, 5]
    found = allocated(widths, (Tied(("layer0", "layer1"), "for a test"),), 0.37)
    prices = {measure: [1.0] * 4 for measure in ("macs", "params", "memory")}
    rows = np.array([(a, 2 * a, c) for a, c in itertools.product(range(1, 7), range(1, 6))])
    misses = np.abs(Chain(widths, prices).relative("macs", rows) - 0.37)
    assert abs(found.achieved[0] - 0.37) <= max(TOLERANCE, float(misses.min()) + 1e-12)


@pytest.mark.parametrize("member", ["layer0", "layer1"])
def test_one_that_is_decided_decides_the_set(member: str) -> None:
    tied = (Tied(("layer0", "layer1"), "for a test"),)
    assert allocated([8, 16, 12], tied, 0.4, fixed_ratios={member: 1.0}).widths.tolist()[:2] == [8, 16]
    assert allocated([8, 16, 12], tied, 0.4, fixed_ratios={member: 0.5}).widths.tolist()[:2] == [4, 8]


def test_the_floor_says_what_a_width_is_tied_to() -> None:
    found = allocated([8, 16, 12], (Tied(("layer0", "layer1"), "in step with another"),), 0.01)
    (shortfall,) = found.shortfalls
    assert shortfall.obstacle == "floor"
    assert [cause.layer for cause in shortfall.causes if "in step with another" in cause.reason] == ["layer0"]


def test_widths_that_hardly_go_together_are_multiples_of_the_granularity_together() -> None:
    first, second, third = chain_groups([24, 12, 4])
    assert Ladder(second, 4, 0.0, [first]).rungs.tolist() == [4, 8, 12]
    assert Ladder(third, 4, 0.0, [second]).rungs.tolist() == [4]  # no common share below
    lane, other, rest = lanes([12, 12, 24])
    assert Ladder(lane, 8, 0.0, [other, rest]).rungs.tolist() == [2, 4, 6, 8, 10, 12]  # 8 of 48, 16 of 48 ...


def lanes(widths: list[int]) -> list[Group]:
    """Groups in one layer."""
    groups = chain_groups(widths)
    return [replace(group, members=(replace(group.members[0], tensor="layer.weight"),)) for group in groups]
