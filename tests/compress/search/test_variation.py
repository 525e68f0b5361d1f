from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.errors import PlanError
from compress.search.breeding import Grid, children, first_generation
from compress.search.variation import crossover, mutate

seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(1, 40))
def test_crossover_keeps_the_sum_of_every_gene(seed: int, genes: int) -> None:
    random = np.random.default_rng(seed)
    parents = random.random((2, genes))
    one, other = crossover(parents[0], parents[1], random)
    finite = np.abs(one) < 1e6  # a draw next to 1 throws a gene very far, and rounding with it
    np.testing.assert_allclose((one + other)[finite], parents.sum(axis=0)[finite], atol=1e-8)


@given(seeds, st.integers(1, 40))
def test_equal_parents_have_equal_children(seed: int, genes: int) -> None:
    random = np.random.default_rng(seed)
    parent = random.random(genes)
    for child in crossover(parent, parent.copy(), random):
        np.testing.assert_array_equal(child, parent)


def test_crossover_reaches_beyond_the_parents_and_between_them() -> None:
    random = np.random.default_rng(0)
    one, _ = crossover(np.full(4000, 0.4), np.full(4000, 0.6), random)
    beyond, between = np.mean((one < 0.4) | (one > 0.6)), np.mean((one > 0.4) & (one < 0.6))
    assert 0.15 < beyond < 0.35  # half of the genes cross, half of those outwards
    assert 0.15 < between < 0.35


@given(seeds, st.integers(1, 30), st.floats(0, 1))
def test_mutation_stays_within_bounds(seed: int, genes: int, probability: float) -> None:
    random = np.random.default_rng(seed)
    bounds = np.sort(random.random((2, genes)), axis=0)
    start = bounds[0] + random.random(genes) * (bounds[1] - bounds[0])
    moved = mutate(start, bounds[0], bounds[1], random, probability=probability)
    assert (moved >= bounds[0]).all()
    assert (moved <= bounds[1]).all()


def test_mutation_moves_one_gene_in_an_individual_on_average_and_not_far() -> None:
    random = np.random.default_rng(0)
    start, low, high = np.full(20, 0.5), np.zeros(20), np.ones(20)
    steps = np.array([mutate(start, low, high, random) - start for _ in range(500)])
    assert 0.8 < (steps != 0).sum() / 500 < 1.2
    assert np.abs(steps).max() < 0.5
    assert np.abs(steps[steps != 0]).mean() < 0.1
    assert 0.4 < (steps[steps != 0] > 0).mean() < 0.6


@given(seeds, st.sampled_from([0.1, 0.25, 0.05]))
def test_points_lie_on_the_grid_or_on_a_bound(seed: int, step: float) -> None:
    random = np.random.default_rng(seed)
    bounds = np.sort(random.random((2, 12)), axis=0)
    grid = Grid(bounds[0], bounds[1], step)
    for point in (grid.sample(random), grid.snap(random.normal(size=12) * 3)):
        on_grid = np.isclose(point / step, np.round(point / step), atol=1e-7)
        assert (on_grid | (point == grid.low) | (point == grid.high)).all()


def test_a_point_of_the_grid_stays_where_it_is() -> None:
    grid = Grid(np.full(9, 0.2), np.ones(9))
    for point in (np.linspace(0.2, 1, 9), grid.sample(np.random.default_rng(3))):
        snapped = grid.snap(point)
        np.testing.assert_allclose(snapped, point)
        np.testing.assert_array_equal(grid.snap(snapped), snapped)


def test_a_generation_has_no_duplicates_and_repeats_no_parent() -> None:
    grid = Grid(np.zeros(3), np.full(3, 0.3))  # 64 points
    parents = first_generation(grid, 20, np.random.default_rng(1))
    born = children(parents, grid, 30, np.random.default_rng(2))
    points = {point.tobytes() for point in [*parents, *born]}
    assert len(points) == len(parents) + len(born)
    assert len(parents) == 20
    assert len(born) >= 20


def test_a_grid_of_few_points_gives_what_it_has() -> None:
    grid = Grid(np.zeros(1), np.full(1, 0.2))
    assert len(first_generation(grid, 10, np.random.default_rng(0))) == 3


def test_the_same_seed_gives_the_same_children() -> None:
    grid = Grid(np.zeros(8), np.ones(8))
    runs = []
    for _ in range(2):
        random = np.random.default_rng(5)
        parents = first_generation(grid, 8, random)
        runs.append(np.array(children(parents, grid, 8, random)))
    np.testing.assert_array_equal(runs[0], runs[1])


@pytest.mark.parametrize(
    ("low", "high", "step"), [([0.5], [0.4], 0.1), ([0.1, 0.2], [1.0], 0.1), ([], [], 0.1), ([np.nan], [1], 0.1)]
)
def test_bounds_that_are_none_are_refused(low: list[float], high: list[float], step: float) -> None:
    with pytest.raises(PlanError, match="bounds"):
        Grid(np.array(low), np.array(high), step)


def test_one_parent_is_refused() -> None:
    with pytest.raises(PlanError, match="too small"):
        children([np.zeros(2)], Grid(np.zeros(2), np.ones(2)), 2, np.random.default_rng(0))
