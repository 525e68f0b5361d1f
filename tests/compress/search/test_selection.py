from __future__ import annotations

from statistics import mean

import numpy as np
import pytest

from compress.errors import PlanError
from compress.search.breeding import Grid, children, first_generation
from compress.search.hypervolume import coverage, hypervolume
from compress.search.selection import NonDominated, Selection, UniformTargets, spread_targets
from compress.search.sorting import Array

GENES, POPULATION, GENERATIONS = 10, 16, 30
LOW, HIGH = 0.2, 1.0


def _latency(genes: Array) -> float:
    return float(genes.mean())


def _loss(genes: Array) -> float:
    """The true one: least where all genes are alike, so the front is known: 1 / latency."""
    return float(1 / genes.mean() + 8 * genes.var())


def _seen_loss(genes: Array, generation: int) -> float:
    """As shared weights show it: early on, what is expensive has not converged."""
    behind = max(0.0, 1 - generation / (0.7 * GENERATIONS))
    return _loss(genes) + 12 * behind * _latency(genes) ** 2


def _evolve(selection: Selection, seed: int) -> Array:
    random = np.random.default_rng(seed)
    grid = Grid(np.full(GENES, LOW), np.full(GENES, HIGH))
    population = first_generation(grid, POPULATION, random)
    for generation in range(GENERATIONS):
        pool = population + children(population, grid, POPULATION, random)
        seen = np.array([[_seen_loss(genes, generation), _latency(genes)] for genes in pool])
        population = [pool[index] for index in selection.choose(seen, POPULATION)]
    return np.array([[_loss(genes), _latency(genes)] for genes in population])


def test_uniform_selection_covers_the_range_where_cheap_points_look_better_early() -> None:
    uniform = UniformTargets(spread_targets(LOW, HIGH))
    volumes: dict[str, list[float]] = {"uniform": [], "plain": []}
    covered: dict[str, list[float]] = {"uniform": [], "plain": []}
    for seed in range(20):
        for name, selection in (("uniform", uniform), ("plain", NonDominated())):
            found = _evolve(selection, seed)
            volumes[name].append(hypervolume(found, (1 / LOW + 1, HIGH + 0.1)))
            covered[name].append(coverage(found[:, 1], LOW, HIGH))
    assert mean(volumes["uniform"]) >= mean(volumes["plain"])
    assert mean(covered["uniform"]) >= mean(covered["plain"])


@pytest.mark.parametrize("selection", [NonDominated(), UniformTargets((0.0, 3.0, 9.0))])
@pytest.mark.parametrize("count", [1, 5, 12, 40])
def test_as_many_as_asked_are_chosen_and_none_twice(selection: Selection, count: int) -> None:
    objectives = np.random.default_rng(count).integers(0, 10, (20, 2)).astype(float)
    chosen = selection.choose(objectives, count)
    assert len(set(chosen.tolist())) == len(chosen) == min(count, 20)


def test_plain_selection_takes_the_front_first() -> None:
    objectives = np.array([[3.0, 3.0], [1.0, 2.0], [2.0, 1.0], [9.0, 9.0]])
    assert set(NonDominated().choose(objectives, 2).tolist()) == {1, 2}
    assert NonDominated().choose(objectives, 4).tolist()[2:] == [0, 3]


def test_every_target_gets_its_best_first() -> None:
    latency = np.linspace(0, 9, 10)
    objectives = np.column_stack([np.ones(10), latency])
    assert set(UniformTargets((0.0, 4.0, 9.0)).choose(objectives, 3).tolist()) == {0, 4, 9}


def test_targets_are_even_and_include_the_ends() -> None:
    assert spread_targets(139.2, 397.1) == pytest.approx((139.2, 225.1667, 311.1333, 397.1), abs=0.001)


def test_targets_that_are_none_are_refused() -> None:
    for low, high, count in ((1.0, 1.0, 4), (2.0, 1.0, 4), (0.0, 1.0, 1)):
        with pytest.raises(PlanError, match="targets"):
            spread_targets(low, high, count)
    with pytest.raises(PlanError, match="targets"):
        UniformTargets(())
