"""Pruning spaces, a small experiment: does the ratio that did best on half of a population do well on the other half,
and does the space refined by it hold better recipes? The figures are in ``docs/methods.md``.
"""

# ruff: noqa: T201 - the figures are what is asked for
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

import compress
import models
from compress import data as data_sets
from compress.axes.analysis import analyse
from compress.search.spaces.analysis import Found, Population, find
from compress.search.spaces.distributions import best_of
from compress.search.spaces.evaluating import Evaluator, Schedule
from compress.search.spaces.refining import Refined
from compress.search.spaces.space import space_of
from compress.training import config_of, finetune

SEEDS, SHARE, RECIPES, REFINED, OF = 5, 0.5, 64, 24, 16
SCHEDULE = Schedule(steps=46, batch_size=64, lr=0.02)  # two epochs

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@dataclass(frozen=True)
class Judged:
    """What one seed came to."""

    initial: Population
    refined: Population
    found: Found


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> list[Judged]:
    """For each seed a trained network of three stages, 64 recipes of half its MACs, and 24 of the refined space."""
    digits = data_sets.load("digits")
    tables = []
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        program = compress.capture(models.create("models:digitsnet"), (torch.zeros(1, 1, 8, 8),))
        config = config_of(epochs=8, batch_size=64, lr=0.05, seed=seed)
        dense = finetune(program, digits, config, output_dir=tmp_path_factory.mktemp("dense"), quiet=True).program
        space = space_of(analyse(dense))
        judge, random = Evaluator(space, digits, SCHEDULE), np.random.default_rng(seed)

        def population(rows: np.ndarray, judge: Evaluator = judge) -> Population:
            return Population(rows, np.array([judge.error(row) for row in rows]))

        initial = population(space.sample(SHARE, RECIPES, random))
        found = find(space, initial, "network")
        refined = population(Refined(space, found.band).sample(SHARE, REFINED, random))
        tables.append(Judged(initial, refined, found))
        shown = ", ".join(f"{np.exp(bucket.centre):.1f}: {100 * bucket.errors.mean:.2f}" for bucket in found.parts[0])
        print(f"\nseed {seed}: mean error in % by MACs per parameter: {shown}")
    return tables


def test_the_best_bucket_of_one_half_is_good_on_the_other(judged: list[Judged]) -> None:
    """NPS-5."""
    good = 0
    for seed, table in enumerate(judged):
        held = table.found.held_out
        assert held is not None
        good += held.mean <= 0 and held.chance < 0.2
        print(f"seed {seed}: held-out half, band minus all: {100 * held.mean:+.2f} points, p {held.chance:.3f}")
    assert good >= 3


@pytest.mark.xfail(
    strict=True, reason="missed: 0.97 % error against 0.92 %, less than one held-out image; see methods.md"
)
def test_the_best_of_16_of_the_refined_space_are_no_worse(judged: list[Judged]) -> None:
    """NPS-6 as it is asked: in the mean over ten resamplings of the cached table. It does not hold here."""
    gains = []
    for seed, table in enumerate(judged):
        both = table.initial.errors, table.refined.errors
        initial, refined = (best_of(errors, OF, repeats=10, seed=seed).mean() for errors in both)
        gains.append(initial - refined)
        print(f"seed {seed}: best of {OF}: {100 * initial:.2f} % initial, {100 * refined:.2f} % refined")
    assert np.mean(gains) >= 0


def test_the_recipes_of_the_refined_space_are_better_in_the_mean(judged: list[Judged]) -> None:
    """What does hold beside NPS-6."""
    assert np.mean([table.initial.errors.mean() - table.refined.errors.mean() for table in judged]) > 0
