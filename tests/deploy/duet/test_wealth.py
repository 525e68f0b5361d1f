from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.duet import wealth

ALPHA = 0.01
_values = st.lists(st.floats(-5, 5), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None)
@given(_values, st.floats(-2, 2), st.floats(0.01, 10))
def test_a_fair_coin_leaves_the_wealth_as_it_is_on_average(values: list[float], theta: float, scale: float) -> None:
    """Of every value, the two signs that its distance from theta may have are equally likely."""
    *before, last = values
    mirrored = 2 * theta - last
    after = [math.exp(wealth.wealth([*before, value], theta, scale)) for value in (last, mirrored)]
    now = math.exp(wealth.wealth(before, theta, scale)) if before else 1.0
    assert sum(after) / 2 == pytest.approx(now, rel=1e-6, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(_values, st.floats(-2, 2), st.floats(0, 2), st.floats(0.01, 10))
def test_a_lower_claim_is_easier_to_win(values: list[float], theta: float, step: float, scale: float) -> None:
    assert wealth.wealth(values, theta, scale) >= wealth.wealth(values, theta + step, scale) - 1e-9


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=9, max_size=30), st.floats(0.01, 10))
def test_bounds_are_where_the_wealth_reaches_the_limit(values: list[float], scale: float) -> None:
    low, high = wealth.bounds(values, scale, ALPHA)
    assert low is not None
    assert high is not None
    assert low <= high
    step = 1e-6 * (1 + abs(low) + scale)
    need = math.log(1 / ALPHA)
    assert wealth.wealth(values, low - step, scale) >= need - 1e-6 >= wealth.wealth(values, low + step, scale) - 2e-6


def test_fewer_values_than_can_decide_give_no_bound_rather_than_a_wrong_one() -> None:
    assert wealth.bounds([1.0] * 8, 0.1, ALPHA) == (None, None)
    assert not wealth.can_decide(8, ALPHA)
    assert wealth.can_decide(9, ALPHA)
    assert wealth.half_width([0.1, -0.1], 8, 0.1, ALPHA) is None


@pytest.mark.parametrize("tails", ["normal", "cauchy"])
def test_half_width_is_what_the_bounds_come_to(tails: str) -> None:
    generator = np.random.default_rng(1)
    draw = generator.standard_normal if tails == "normal" else generator.standard_cauchy
    noise = list(draw(200))
    scale = wealth.spread(noise)
    said = wealth.half_width(noise, 40, scale, ALPHA)
    assert said is not None
    seen = [-low for _ in range(100) if (low := wealth.least(list(draw(40)), scale, ALPHA)) is not None]
    assert 0.7 * said < float(np.median(seen)) < 1.4 * said


@pytest.mark.parametrize("noise", ["normal", "cauchy", "two-valued", "bursts"])
def test_error_stays_below_alpha_when_stopping_at_any_moment(noise: str) -> None:
    """The centre lies exactly at 0; whoever stops when 0 is excluded would be wrong."""
    generator = np.random.default_rng(2)
    alpha, trials, steps = 0.1, 400, 120
    wrong = 0
    for _ in range(trials):
        signs = generator.choice([-1.0, 1.0], steps)
        sizes = {
            "normal": np.abs(generator.standard_normal(steps)),
            "cauchy": np.abs(generator.standard_cauchy(steps)),
            "two-valued": np.ones(steps),
            # Sizes hang together over time: quiet and loud spells, as of a machine with other work.
            "bursts": np.exp(2 * np.sin(np.arange(steps) / 20 + generator.uniform(0, 6))),
        }[noise]
        values = signs * sizes
        wrong += any(wealth.wealth(values[:count], 0.0, 1.0) >= math.log(1 / alpha) for count in range(1, steps + 1))
    assert wrong / trials <= alpha
    assert wrong > 0  # the bound is not won by never deciding


def test_a_shift_as_large_as_the_scatter_is_seen_within_thirty_values() -> None:
    generator = np.random.default_rng(3)
    seen = [wealth.least(list(1 + generator.standard_normal(30)), 1.0, ALPHA) for _ in range(100)]
    assert sum(low is not None and low > 0 for low in seen) >= 90


def test_stricter_bounds_need_more_values() -> None:
    assert [wealth.fewest(alpha) for alpha in (0.01, 0.0001)] == [9, 16]
