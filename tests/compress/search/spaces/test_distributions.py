"""NPS-4: distributions of errors: hand examples, and properties that hold for all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.errors import PlanError
from compress.search.spaces.distributions import Distribution, best_of

errors = st.lists(st.floats(0, 1, allow_nan=False), min_size=1, max_size=30).map(np.array)


def test_the_step_function_of_a_hand_example() -> None:
    found = Distribution(np.array([0.3, 0.1, 0.3, 0.2]))
    assert [found(error) for error in (0.0, 0.1, 0.15, 0.2, 0.3, 1.0)] == [0, 0.25, 0.25, 0.5, 1, 1]
    places, values = found.steps()
    assert places.tolist() == [0.1, 0.2, 0.3]
    assert values.tolist() == [0.25, 0.5, 1.0]
    assert found.mean == pytest.approx(0.225)
    assert found.best == 0.1


@given(errors)
def test_it_rises_from_nothing_to_one(values: np.ndarray) -> None:
    found = Distribution(values)
    places, heights = found.steps()
    assert found(float(places[0]) - 1) == 0
    assert heights[-1] == 1
    assert (np.diff(heights) > 0).all()
    assert all(found(float(place)) == height for place, height in zip(places, heights, strict=True))


@given(errors)
def test_the_area_above_it_is_the_mean(values: np.ndarray) -> None:
    places, heights = Distribution(values).steps()
    widths = np.diff(np.concatenate([[0.0], places]))
    assert (widths * (1 - np.concatenate([[0.0], heights[:-1]]))).sum() == pytest.approx(values.mean())


def test_dominance_of_hand_examples() -> None:
    low, high, crossing = (Distribution(np.array(each)) for each in ([1, 2, 3], [2, 3, 4], [0, 3, 5]))
    assert low.dominates(high)
    assert not high.dominates(low)
    assert not low.dominates(crossing)
    assert not crossing.dominates(low)
    assert not low.dominates(low)


@given(errors, st.floats(0.01, 1))
def test_what_is_lower_everywhere_dominates(values: np.ndarray, gain: float) -> None:
    assert Distribution(values - gain).dominates(Distribution(values))


def test_the_bootstrap_repeats_and_sees_what_there_is_to_see() -> None:
    random = np.random.default_rng(0)
    better, worse = (Distribution(random.normal(mean, 0.1, 60)) for mean in (0.3, 0.5))
    found = better.against(worse, seed=3)
    assert found == better.against(worse, seed=3)
    assert found.low < found.mean < found.high < 0
    assert found.chance == 0
    assert better.against(better).chance == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("values", [[], [0.1, float("nan")], [float("inf")]])
def test_errors_that_are_none_are_refused(values: list[float]) -> None:
    with pytest.raises(PlanError):
        Distribution(np.array(values))


def test_the_best_of_all_is_the_best() -> None:
    table = np.array([0.4, 0.2, 0.3])
    assert best_of(table, 3, repeats=4).tolist() == [0.2] * 4
    assert best_of(table, 1, repeats=200).mean() == pytest.approx(0.3, abs=0.02)
    with pytest.raises(PlanError, match="best of 4"):
        best_of(table, 4, repeats=1)
