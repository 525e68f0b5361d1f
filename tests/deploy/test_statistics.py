from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy import statistics


def _below(n: int, q: float, count: int) -> float:
    return sum(math.comb(n, k) * q**k * (1 - q) ** (n - k) for k in range(count))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 120), st.sampled_from([0.5, 0.9, 0.99]), st.sampled_from([0.2, 0.025, 0.001]))
def test_ranks_are_the_tightest_that_keep_the_level(n: int, q: float, level: float) -> None:
    low, high = statistics.lower_rank(n, q, level), statistics.upper_rank(n, q, level)
    assert _below(n, q, low) <= level + 1e-9
    assert _below(n, q, low + 1) > level - 1e-9
    assert 1 - _below(n, q, high) <= level + 1e-9
    if high >= 1:
        assert 1 - _below(n, q, high - 1) > level - 1e-9


def test_too_few_values_give_no_bound_rather_than_a_wrong_one() -> None:
    interval = statistics.quantile_interval([1.0, 2.0, 3.0], 0.99)
    assert interval.high is None
    assert statistics.median_interval([1.0, 2.0], 0.01).low is None


def test_ranks_survive_large_samples() -> None:
    rank = statistics.lower_rank(200_000, 0.5, 1e-4)
    assert 0.49 * 200_000 < rank < 100_000


def test_quantile_interval_covers_the_true_quantile_of_a_skewed_distribution() -> None:
    generator = np.random.default_rng(1)
    truth = math.exp(1.2815515655446004)
    inside = 0
    for _ in range(400):
        interval = statistics.quantile_interval(list(generator.lognormal(size=200)), 0.9)
        assert interval.low is not None
        assert interval.high is not None
        inside += interval.low <= truth <= interval.high
    assert inside >= 0.92 * 400


def test_all_looks_together_spend_no_more_than_alpha() -> None:
    assert sum(statistics.look_level(look, 0.01) for look in range(10_000)) <= 0.01
    sizes = statistics.look_sizes(200_000)
    assert sizes[0] == statistics.FIRST_LOOK
    assert all(after > before for before, after in itertools.pairwise(sizes))
    # The very first look can already decide: 16 equal signs are rarer than its level.
    assert 0.5 ** sizes[0] < statistics.look_level(0, 0.01)


@pytest.mark.parametrize("tails", ["normal", "cauchy"])
def test_error_stays_below_alpha_when_stopping_at_any_look(tails: str) -> None:
    """The true median lies exactly on the tolerance; every look that excludes it would be a wrong verdict."""
    generator = np.random.default_rng(2)
    alpha, trials, wrong = 0.1, 400, 0
    sizes = statistics.look_sizes(3000)
    for _ in range(trials):
        draws = generator.standard_normal(3000) if tails == "normal" else generator.standard_cauchy(3000)
        values = [float(value) for value in draws]
        for look, size in enumerate(sizes):
            low = statistics.median_interval(values[:size], statistics.look_level(look, alpha)).low
            if low is not None and low > 0:
                wrong += 1
                break
    assert wrong / trials <= alpha


def test_trend_is_seen_in_a_drift_and_not_in_noise() -> None:
    generator = np.random.default_rng(3)
    noise = generator.standard_normal((200, 40))
    assert np.mean([statistics.has_trend(list(row)) for row in noise]) < 0.12
    drift = noise - np.linspace(0, 4, 40)
    assert np.mean([statistics.has_trend(list(row)) for row in drift]) > 0.95
    assert statistics.has_trend(list(np.linspace(2, 1, 5000)))


@pytest.mark.parametrize(
    ("probability", "freedom", "tabulated"), [(0.99, 5, 3.365), (0.995, 5, 4.032), (0.95, 10, 1.812)]
)
def test_student_quantiles_are_those_of_the_tables(probability: float, freedom: int, tabulated: float) -> None:
    assert statistics.student_quantile(probability, freedom) == pytest.approx(tabulated, rel=0.01)
