"""The search on optuna's storages, on problems whose answer is known: no training, no device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import mean

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from compress.errors import PlanError
from compress.search.breeding import Grid
from compress.search.hypervolume import hypervolume
from compress.search.sampler import GridSampler
from compress.search.selection import NonDominated, Selection, UniformTargets, spread_targets
from compress.search.sorting import Array, fronts

optuna.logging.set_verbosity(optuna.logging.WARNING)
POPULATION, TRIALS = 12, 72

Objective = Callable[[Array], tuple[float, float]]


def _study(storage: str | JournalStorage | None, name: str, sampler: GridSampler) -> optuna.Study:
    return optuna.create_study(
        storage=storage, study_name=name, sampler=sampler, directions=["minimize"] * 2, load_if_exists=True
    )


def _sampler(grid: Grid, seed: int, selection: Selection | None = None) -> GridSampler:
    names = [f"gene {index}" for index in range(grid.low.size)]
    return GridSampler(names, grid, selection or NonDominated(), population=POPULATION, seed=seed)


def _run(study: optuna.Study, sampler: GridSampler, objective: Objective, trials: int) -> Array:
    for _ in range(trials):
        trial = study.ask(sampler.space())
        study.tell(trial, objective(sampler.genes(trial)))
    return np.array([trial.values for trial in study.trials])


def _toy(genes: Array) -> tuple[float, float]:
    return float(1 / genes.mean() + 5 * genes.var()), float(genes.mean())


GRID = Grid(np.full(6, 0.2), np.ones(6))


def _points(study: optuna.Study, sampler: GridSampler) -> list[list[float]]:
    return [sampler.genes(trial).tolist() for trial in study.trials]


def test_an_interrupted_study_continues_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = _sampler(GRID, 7)
    study = _study(None, "whole", whole)
    _run(study, whole, _toy, 32)
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    for part in (5, 12, 15):  # each in a new sampler, as a new process would
        sampler = _sampler(GRID, 7)
        resumed = _study(storage, "parts", sampler)
        _run(resumed, sampler, _toy, part)
    assert _points(resumed, sampler) == _points(study, whole)
    other = _sampler(GRID, 8)
    different = _study(None, "other", other)
    _run(different, other, _toy, 32)
    assert _points(different, other) != _points(study, whole)


def test_two_workers_share_a_study_and_a_killed_one_loses_its_trial_alone(tmp_path: Path) -> None:
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "study.log")))
    samplers = [_sampler(GRID, 3) for _ in range(2)]
    workers = [_study(storage, "shared", sampler) for sampler in samplers]
    lost = workers[0].ask(samplers[0].space())  # never told: its worker was killed
    for step in range(30):
        study, sampler = workers[step % 2], samplers[step % 2]
        trial = study.ask(sampler.space())
        study.tell(trial, _toy(sampler.genes(trial)))
    complete = [trial for trial in workers[0].trials if trial.state == optuna.trial.TrialState.COMPLETE]
    assert len(complete) == 30
    assert lost.number not in {trial.number for trial in complete}
    points = {samplers[0].genes(trial).tobytes() for trial in workers[0].trials}
    assert len(points) == 31


def test_searching_finds_more_than_drawing_at_random() -> None:
    reference = (1 / 0.2 + 1, 1.1)
    found, random = [], []
    for seed in range(5):
        sampler = _sampler(GRID, seed, UniformTargets(spread_targets(0.2, 1.0)))
        found.append(hypervolume(_run(_study(None, "s", sampler), sampler, _toy, TRIALS), reference))
        draws = np.random.default_rng(seed)
        random.append(hypervolume(np.array([_toy(GRID.sample(draws)) for _ in range(TRIALS)]), reference))
    assert mean(found) > mean(random)


def test_the_ends_are_tried_first() -> None:
    sampler = _sampler(GRID, 0)
    study = _study(None, "s", sampler)
    _run(study, sampler, _toy, 3)
    np.testing.assert_array_equal(sampler.genes(study.trials[0]), GRID.low)
    np.testing.assert_array_equal(sampler.genes(study.trials[1]), GRID.high)


LAYERS = 8
CHANNELS = np.array([16, 32, 32, 64, 64, 128, 128, 256])
PIXELS = np.array([32, 32, 16, 16, 8, 8, 4, 4]) ** 2
WORTH = np.array([3.0, 1.0, 2.5, 0.8, 2.0, 0.6, 1.5, 0.5])


def _latency(widths: Array, densities: Array) -> float:
    """A table as devices have them: a part that stays, and one that density shrinks, though not to nothing."""
    outputs, inputs = CHANNELS * widths, np.concatenate([[3], (CHANNELS * widths)[:-1]])
    work = outputs * inputs * 9 * PIXELS
    return float((2e4 + work * (0.25 + 0.75 * densities)).sum() / 1e6)


def _loss(widths: Array, densities: Array) -> float:
    """Layers matter unequally, and what is lost grows steeply: channels cost more than as many weights."""
    return float((WORTH * ((1 - widths) ** 2 * 1.6 + (1 - densities) ** 3)).sum())


def _claim(genes: Array) -> tuple[float, float]:
    return _loss(genes[:LAYERS], genes[LAYERS:]), _latency(genes[:LAYERS], genes[LAYERS:])


def test_deciding_channels_and_weights_together_beats_either_alone() -> None:
    low = np.concatenate([np.full(LAYERS, 0.3), np.full(LAYERS, 0.1)])
    ones = np.ones(2 * LAYERS)
    channels, weights = low.copy(), low.copy()
    channels[LAYERS:] = 1
    weights[:LAYERS] = 1
    reference = (_claim(low)[0] * 1.05, _claim(ones)[1] * 1.05)
    worth: dict[str, list[float]] = {}
    for name, bounds in (("joint", low), ("channels", channels), ("weights", weights)):
        grid = Grid(bounds, ones)
        targets = spread_targets(_claim(bounds)[1], _claim(ones)[1])
        for seed in range(5):
            sampler = _sampler(grid, seed, UniformTargets(targets))
            values = _run(_study(None, name, sampler), sampler, _claim, 120)
            worth.setdefault(name, []).append(hypervolume(values[fronts(values)[0]], reference))
    assert mean(worth["joint"]) >= mean(worth["channels"])
    assert mean(worth["joint"]) >= mean(worth["weights"])


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(PlanError, match="names"):
        GridSampler(["a", "a"], Grid(np.zeros(2), np.ones(2)), NonDominated(), population=4)
    with pytest.raises(PlanError, match="cannot have children"):
        GridSampler(["a"], Grid(np.zeros(1), np.ones(1)), NonDominated(), population=1)
