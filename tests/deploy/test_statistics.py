from __future__ import annotations

import math

import numpy as np
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


def test_trend_is_seen_in_a_drift_and_not_in_noise() -> None:
    generator = np.random.default_rng(3)
    noise = generator.standard_normal((200, 40))
    assert np.mean([statistics.has_trend(list(row)) for row in noise]) < 0.12
    drift = noise - np.linspace(0, 4, 40)
    assert np.mean([statistics.has_trend(list(row)) for row in drift]) > 0.95
    assert statistics.has_trend(list(np.linspace(2, 1, 5000)))
