from __future__ import annotations

import numpy as np
import pytest

from compress.errors import InputError
from compress.latency.fitting import FittedTable, Measured
from compress.latency.table import Array

AXES = (np.array([8.0, 16, 32, 64, 128]), np.array([8.0, 16, 32, 64, 128]), np.array([0.1, 0.25, 0.5, 1.0]))


def _staircase(output: float, inputs: float, density: float) -> float:
    """A cost that is not linear: less efficient when narrow, with a part that stays."""
    work = output * inputs * (0.3 + 0.7 * density) / (128 * 128)
    return 0.05 + work * (1 + 0.6 * np.exp(-output / 24) + 0.4 * np.exp(-inputs / 24))


def _measured(point: Array, milliseconds: float) -> Measured:
    output, inputs, density = point.tolist()
    return Measured(output, inputs, density, float(milliseconds))


def _at(points: Array, noise: float = 0.0, seed: int = 0) -> list[Measured]:
    errors = np.exp(noise * np.random.default_rng(seed).standard_normal(len(points)))
    return [_measured(point, _staircase(*point) * error) for point, error in zip(points, errors, strict=True)]


def _draw(count: int, seed: int) -> Array:
    random = np.random.default_rng(seed)
    return np.column_stack(
        [random.integers(8, 129, count), random.integers(8, 129, count), random.uniform(0.1, 1, count)]
    ).astype(float)


def _errors(fitted: FittedTable, points: Array) -> Array:
    true = np.array([_staircase(*point) for point in points])
    return np.abs(np.array([fitted.table(*point) for point in points]) / true - 1)


def test_a_cost_that_is_linear_in_each_axis_needs_few_measurements() -> None:
    points = _draw(12, 0)
    measured = [_measured(point, 1 + float(point.prod()) / 500) for point in points]
    fitted = FittedTable(AXES, measured)
    for point in _draw(50, 1):
        assert fitted.table(*point) == pytest.approx(1 + point[0] * point[1] * point[2] / 500, rel=0.01)


def test_more_measurements_leave_less_error_and_less_doubt() -> None:
    few, many = (FittedTable(AXES, _at(_draw(count, 2), noise=0.02)) for count in (10, 80))
    probes = _draw(200, 3)
    assert np.median(_errors(many, probes)) < 0.03
    assert np.median(_errors(many, probes)) < np.median(_errors(few, probes))
    assert np.mean([many.doubt(*point) for point in probes]) < np.mean([few.doubt(*point) for point in probes])


def test_doubt_is_small_where_it_was_measured_and_large_far_from_it() -> None:
    corner = np.array([[128.0, 128.0, 1.0], [120.0, 128.0, 1.0], [128.0, 112.0, 0.9]])
    fitted = FittedTable(AXES, _at(corner))
    assert fitted.doubt(128, 128, 1.0) < 0.05
    assert fitted.doubt(8, 8, 0.1) > 3 * fitted.doubt(128, 128, 1.0)


def test_measuring_where_the_doubt_is_largest_beats_measuring_at_random() -> None:
    probes = _draw(200, 4)
    worst: dict[str, list[float]] = {"doubt": [], "random": []}
    for seed in range(5):
        pool = _draw(300, 100 + seed)
        chosen = [0, 1, 2]
        while len(chosen) < 20:
            fitted = FittedTable(AXES, _at(pool[chosen], noise=0.01, seed=seed))
            chosen.append(int(np.argmax([fitted.doubt(*point) for point in pool])))
        guided = FittedTable(AXES, _at(pool[chosen], noise=0.01, seed=seed))
        worst["doubt"].append(float(np.quantile(_errors(guided, probes), 0.95)))
        worst["random"].append(
            float(np.quantile(_errors(FittedTable(AXES, _at(pool[:20], noise=0.01, seed=seed)), probes), 0.95))
        )
    assert np.mean(worst["doubt"]) < np.mean(worst["random"])


def test_noise_that_is_proportional_does_not_pull_the_table_down() -> None:
    points = _draw(300, 7)
    fitted = FittedTable(AXES, _at(points, noise=0.3, seed=1))
    probes = _draw(200, 8)
    true = np.array([_staircase(*point) for point in probes])
    off = np.array([fitted.table(*point) for point in probes]) / true
    assert np.median(off) == pytest.approx(np.exp(0.3**2 / 2), rel=0.05), "the mean of what was measured"


def test_doubt_tells_how_large_errors_are() -> None:
    fitted = FittedTable(AXES, _at(_draw(40, 5), noise=0.03))
    probes = _draw(300, 6)
    errors = _errors(fitted, probes)
    within = np.mean(errors <= 2 * np.array([fitted.doubt(*point) for point in probes]))
    assert within > 0.8


def test_measurements_that_are_none_are_refused() -> None:
    with pytest.raises(InputError, match="no measurements"):
        FittedTable(AXES, [])
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="measured as none"):
            FittedTable(AXES, [Measured(8, 8, 0.5, wrong)])
    with pytest.raises(InputError, match="outside what was measured"):
        FittedTable(AXES, [Measured(4, 8, 0.5, 1.0)])
