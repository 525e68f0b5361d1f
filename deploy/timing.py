"""Timing loops: warm-up until nothing drifts any more, random interleaving, random order within pairs."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deploy.statistics import has_trend

Call = Callable[[], object]
Progress = Callable[[float, str], None]

_FIRST_TEST = 40
_TEST_GROWTH = 1.5
_FEWEST = 3


@dataclass(frozen=True)
class Warmth:
    """Runs per file and seconds spent before counting, and whether the last half of the runs showed no trend."""

    runs: int
    seconds: float
    stationary: bool


class Observer:
    """Told what happens between timed calls, never during one. This one does nothing."""

    def before_call(self, index: int, share: float) -> None:
        """The call numbered ``index`` comes next; ``share`` of the measurement is done (0 to 1)."""

    def after_round(self) -> None:
        """Every call has run once more."""


NOBODY = Observer()


def silent(fraction: float, what: str) -> None:
    """Report progress to nobody."""


def time_once(call: Call) -> float:
    """Return the wall-clock seconds that one call took."""
    start = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start) * 1e-9


def warm_up(calls: Sequence[Call], *, limit: float, seed: int, observer: Observer = NOBODY) -> Warmth:
    """Run all ``calls`` interleaved until the last half of every one's latencies shows no trend.

    Tested (Mann-Kendall) after 40, 60, 90 ... rounds, a geometric grid, so that the window grows with the drift it
    has to rule out. Given up after ``limit`` seconds, but never before three rounds.
    """
    order = random.Random(seed)
    series: list[list[float]] = [[] for _ in calls]
    start = time.perf_counter()
    due = _FIRST_TEST
    while True:
        share = min((time.perf_counter() - start) / limit, 1.0)
        for index in order.sample(range(len(calls)), len(calls)):
            observer.before_call(index, share)
            series[index].append(time_once(calls[index]))
        runs, spent = len(series[0]), time.perf_counter() - start
        if runs >= due:
            if not any(has_trend(values[runs // 2 :]) for values in series):
                return Warmth(runs, spent, stationary=True)
            due = int(due * _TEST_GROWTH)
        if spent > limit and runs >= _FEWEST:
            return Warmth(runs, spent, stationary=False)


def interleaved(
    calls: Sequence[Call], *, seconds: float, fewest: int, most: int, seed: int, observer: Observer = NOBODY
) -> list[list[float]]:
    """Run rounds of every call once, each round in a new random order, and return the latencies in seconds per call.

    Ends after ``seconds`` in all or ``most`` rounds, but not before ``fewest`` rounds.
    """
    order = random.Random(seed)
    series: list[list[float]] = [[] for _ in calls]
    start = time.perf_counter()
    for done in range(most):
        spent = time.perf_counter() - start
        if spent > seconds and done >= fewest:
            break
        share = max(done / most, min(spent / seconds, 1.0))
        for index in order.sample(range(len(calls)), len(calls)):
            observer.before_call(index, share)
            series[index].append(time_once(calls[index]))
        observer.after_round()
    return series


def pair(base: Call, new: Call, order: random.Random) -> tuple[float, float]:
    """Time both calls back to back, in random order; return the seconds of ``base`` and of ``new``."""
    if order.random() < 0.5:
        first = time_once(base)
        return first, time_once(new)
    first = time_once(new)
    return time_once(base), first
