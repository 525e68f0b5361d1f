from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.search.hypervolume import coverage, hypervolume
from compress.search.sorting import Array, crowding, fronts


def _beats(one: Array, other: Array) -> bool:
    pairs = list(zip(one.tolist(), other.tolist(), strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


def _oracle(objectives: Array) -> list[list[int]]:
    """Fronts by their definition, peeled off one after the other."""
    left, found = list(range(len(objectives))), []
    while left:
        front = [i for i in left if not any(_beats(objectives[j], objectives[i]) for j in left if j != i)]
        found.append(front)
        left = [i for i in left if i not in front]
    return found


@pytest.mark.parametrize("seed", range(200))
def test_fronts_are_those_of_the_definition_with_ties_and_duplicates(seed: int) -> None:
    random = np.random.default_rng(seed)
    objectives = random.integers(0, 6, size=(random.integers(1, 40), random.integers(1, 4))).astype(float)
    assert [front.tolist() for front in fronts(objectives)] == _oracle(objectives)


def test_what_is_not_finite_comes_last() -> None:
    objectives = np.array([[np.nan, 1.0], [2.0, 2.0], [1.0, 3.0]])
    assert [front.tolist() for front in fronts(objectives)] == [[1, 2], [0]]


def test_extremes_are_never_crowded_and_the_second_best_counts() -> None:
    distances = crowding(np.array([[0.0, 10.0], [1.0, 4.0], [2.0, 3.0], [10.0, 0.0]]))
    assert np.isinf(distances[[0, 3]]).all()
    np.testing.assert_allclose(distances[1:3], [2 / 10 + 7 / 10, 9 / 10 + 4 / 10])


def test_a_constant_objective_neither_crashes_nor_counts() -> None:
    line = np.array([0.0, 1.0, 3.0, 4.0])
    with_constant = crowding(np.column_stack([line, np.full(4, 7.0)]))
    np.testing.assert_allclose(with_constant, crowding(line[:, None]))
    np.testing.assert_array_equal(crowding(np.ones((5, 2))), np.zeros(5))
    assert crowding(np.zeros((0, 2))).shape == (0,)


points = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=20)


@given(points)
def test_hypervolume_is_the_number_of_unit_squares_that_are_dominated(chosen: list[tuple[int, int]]) -> None:
    squares = sum(any(a <= x and b <= y for a, b in chosen) for x, y in itertools.product(range(11), repeat=2))
    assert hypervolume(np.array(chosen, dtype=float), (11.0, 11.0)) == pytest.approx(squares)


def test_hypervolume_of_nothing_is_nothing() -> None:
    assert hypervolume(np.zeros((0, 2)), (1.0, 1.0)) == 0
    assert hypervolume(np.array([[2.0, 0.0], [np.nan, 0.0]]), (1.0, 1.0)) == 0


def test_coverage_counts_the_parts_that_are_reached() -> None:
    assert coverage(np.array([0.0, 0.1, 1.0]), 0.0, 1.0) == 2 / 8
    assert coverage(np.linspace(0, 1, 100), 0.0, 1.0) == 1
    assert coverage(np.array([-1.0, 2.0]), 0.0, 1.0) == 0
