"""Searching wider: the last resort where paths and refining missed one of several targets.

Walkers start from good choices and change a few groups at a time at random, as in simulated annealing (Kirkpatrick et
al. 1983, "Optimization by Simulated Annealing"); each round computes the proposals of all walkers at once. The seed is
fixed and the work is bounded by counting choices, so the same request finds the same widths. What is found is then
taken back towards the start, group by group, as far as it stays as good: the start has the order of importance in it.
Nothing found is no proof that there is nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from compress.allocation._ladder import Widths
from compress.allocation._space import Figures, Space
from compress.allocation._target import TOLERANCE

_WALKERS, _PROPOSALS, _AT_ONCE = 16, 48, 3  # so many groups change at most
_EFFORT = 1 << 23  # choices computed times groups
_LEAST_ROUNDS, _MOST_ROUNDS = 60, 250
_HOT, _COLD = 0.03, 0.0003  # temperatures, in shares of the uncut network
_MARGIN = 0.9  # of the tolerance is free of charge
_CROWDING = 0.1
_PATIENCE = 40  # rounds without a better choice after which a walker goes on from the best one


class _Walkers:
    """Choices that change at random; ``best`` is the best that any of them came by."""

    def __init__(self, space: Space, starts: Widths) -> None:
        self._space = space
        self._numbers = np.arange(_WALKERS)
        self._rows = starts[self._numbers % len(starts)]
        self._energy, _ = _judged(space, self._rows)
        self._waited = np.zeros(_WALKERS, np.int64)
        self.best, self._least = self._rows[0], np.inf
        self._remember()

    def step(self, temperature: float, generator: np.random.Generator) -> Widths:
        """Each walker looks at its proposals and may go to the best of them. Returns those that meet every target."""
        rows = _proposals(self._space, self._rows, generator)
        energy, met = _judged(self._space, rows)
        chosen = energy.reshape(_WALKERS, _PROPOSALS).argmin(axis=1) + self._numbers * _PROPOSALS
        found = energy[chosen]
        goes = found < self._energy + temperature * generator.exponential(size=_WALKERS)
        self._waited = np.where(found < self._energy, 0, self._waited + 1)
        self._rows = np.where(goes[:, None], rows[chosen], self._rows)
        self._energy = np.where(goes, found, self._energy)
        self._remember()
        tired = self._waited > _PATIENCE
        self._rows[tired], self._energy[tired], self._waited[tired] = self.best, self._least, 0
        good: Widths = rows[met]
        return good

    def _remember(self) -> None:
        if float(self._energy.min()) < self._least:
            self.best, self._least = self._rows[int(self._energy.argmin())].copy(), float(self._energy.min())


def searched(space: Space, starts: Widths) -> Widths:
    """A choice that meets every target, of those found first the one nearest to ``starts[0]``; else the best found."""
    generator = np.random.default_rng(0)
    walkers = _Walkers(space, starts)
    rounds = _EFFORT // (_WALKERS * _PROPOSALS * space.start.size)
    for temperature in np.geomspace(_HOT, _COLD, int(np.clip(rounds, _LEAST_ROUNDS, _MOST_ROUNDS))).tolist():
        good = walkers.step(temperature, generator)
        if len(good):
            return _taken_back(space, good[int(_away(space, good, starts[0]).sum(axis=1).argmin())], starts[0])
    return _taken_back(space, walkers.best, starts[0])


def _judged(space: Space, rows: Widths) -> tuple[Figures, NDArray[np.bool_]]:
    """By how much all targets together are missed, and whether each choice meets them. Of the farthest target alone a
    walker would not see the others improve.
    """
    misses = space.misses(rows)
    energy = np.maximum(misses - _MARGIN * TOLERANCE, 0.0).sum(axis=1) + _CROWDING * space.crowding(rows)
    return np.asarray(energy, np.float64), np.asarray((misses <= TOLERANCE).all(axis=1), np.bool_)


def _proposals(space: Space, rows: Widths, generator: np.random.Generator) -> Widths:
    """For each row in turn choices in which up to three groups went some rungs of their ladders up or down."""
    rows = np.repeat(rows, _PROPOSALS, axis=0)
    free = np.flatnonzero(space.free)
    longest = np.array([space.ladders[group].rungs.size for group in free.tolist()])
    changes = generator.integers(1, _AT_ONCE + 1, len(rows))
    for change in range(_AT_ONCE):
        at = np.flatnonzero(changes > change)
        picked = generator.integers(0, free.size, at.size)
        far = np.exp(generator.uniform(0.0, 1.0, at.size) * np.log(np.maximum(longest[picked] / 2, 1.0)))
        steps = np.round(far).astype(np.int64) * generator.choice([-1, 1], at.size)
        for number in np.unique(picked).tolist():
            group, mine = int(free[number]), picked == number
            rungs = space.ladders[group].rungs
            places = np.searchsorted(rungs, rows[at[mine], group]) + steps[mine]
            rows[at[mine], group] = rungs[np.clip(places, 0, rungs.size - 1)]
    return rows


def _away(space: Space, rows: Widths, start: Widths) -> Figures:
    return np.asarray(np.abs(rows - start) / np.maximum(space.end(-1), 1), np.float64)


def _taken_back(space: Space, widths: Widths, start: Widths) -> Widths:
    """Give back each group its width at the start where no target is then missed by more, the farthest first."""
    least = _excess(space, widths)
    for group in np.argsort(-_away(space, widths[None], start)[0], kind="stable").tolist():
        back = widths.copy()
        back[group] = start[group]
        if bool((_excess(space, back) <= least).all()):
            widths = back
    return widths


def _excess(space: Space, widths: Widths) -> Figures:
    return np.asarray(np.maximum(space.misses(widths)[0] - TOLERANCE, 0.0), np.float64)
