from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.errors import InputError
from compress.latency.table import LatencyTable

AXES = (np.array([0.0, 8, 16, 64]), np.array([3.0, 4, 32]), np.linspace(0, 1, 11))
inside = st.tuples(st.floats(0, 64), st.floats(3, 32), st.floats(0, 1))


def _of(function: Callable[[float, float, float], float]) -> LatencyTable:
    return LatencyTable(AXES, np.vectorize(function)(*np.meshgrid(*AXES, indexing="ij")))


def _linear_in_each(c: float, i: float, d: float) -> float:
    return 5 + 0.25 * c + 0.5 * i + 2 * d + 0.01 * c * i + 0.03 * c * d + 0.002 * c * i * d


@given(inside)
def test_what_is_linear_in_each_axis_is_exact(at: tuple[float, float, float]) -> None:
    assert _of(_linear_in_each)(*at) == pytest.approx(_linear_in_each(*at), rel=1e-12)


def test_measured_points_are_exact() -> None:
    values = np.random.default_rng(0).random(tuple(axis.size for axis in AXES))
    table = LatencyTable(AXES, values)
    for place in itertools.product(*(range(axis.size) for axis in AXES)):
        at = [axis[index] for axis, index in zip(AXES, place, strict=True)]
        assert table(*at) == values[place]


@given(inside)
def test_continuous(at: tuple[float, float, float]) -> None:
    table = LatencyTable(AXES, np.random.default_rng(1).random((4, 3, 11)))
    near = [min(value + 1e-9, high) for value, high in zip(at, (64, 32, 1), strict=True)]
    assert abs(table(*at) - table(*near)) < 1e-6


@given(inside, inside)
def test_monotone_where_the_table_is(one: tuple[float, float, float], other: tuple[float, float, float]) -> None:
    values = np.random.default_rng(2).random((4, 3, 11))
    table = LatencyTable(AXES, values.cumsum(0).cumsum(1).cumsum(2))
    low, high = np.minimum(one, other), np.maximum(one, other)
    assert table(*low) <= table(*high) + 1e-9


@pytest.mark.parametrize("at", [(65, 4, 0.5), (8, 2, 0.5), (8, 4, 1.1), (-1, 4, 0.5), (8, 4, float("nan"))])
def test_outside_is_refused(at: tuple[float, float, float]) -> None:
    with pytest.raises(InputError, match="outside what was measured"):
        _of(_linear_in_each)(*at)


def test_an_axis_of_one_value_is_that_value_alone() -> None:
    table = LatencyTable((np.array([64.0]), np.array([8.0, 16]), np.array([1.0])), np.array([[[1.0], [3.0]]]))
    assert table(64, 12, 1) == 2
    with pytest.raises(InputError, match="outside"):
        table(63, 12, 1)


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        (([8, 4], [1], [1]), (2, 1, 1)),
        (([4, 4], [1], [1]), (2, 1, 1)),
        (([], [1], [1]), (0, 1, 1)),
        (([4, 8], [1], [1]), (3, 1, 1)),
    ],
)
def test_a_table_that_is_none_is_refused(axes: tuple[list[float], ...], shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="latency table"):
        LatencyTable(tuple(np.array(axis, dtype=float) for axis in axes), np.zeros(shape))  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_times_that_are_none_are_refused(value: float) -> None:
    with pytest.raises(InputError, match="negative or not finite"):
        LatencyTable((np.array([1.0]), np.array([1.0]), np.array([1.0])), np.array([[[value]]]))
