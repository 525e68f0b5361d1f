"""A block: both files loaded afresh, warmed by a run or two, and run in pairs in random order."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from deploy.timing import NOBODY, Call, Observer, time_once

Load = Callable[[], Call]

QUICK = "latency"
FASTEST = 0.25
_UNTIMED_SECONDS = 0.05
_MOST_UNTIMED = 2


@dataclass(frozen=True)
class Block:
    """Seconds of every run of both files, pair by pair."""

    base: Sequence[float]
    new: Sequence[float]

    def log_ratio(self, metric: str) -> float:
        """Return ``log(new / base)`` of ``latency``, or of a quantile of the runs such as ``p95``.

        Latency is the mean logarithm of the fastest quarter of each file's runs: what the file takes when nothing
        comes between. On a busy machine it scatters a third as much as the median does. Changes sign, and nothing
        else, when the two files change places, as :mod:`deploy.duet.wealth` needs.
        """
        return _level(self.new, metric) - _level(self.base, metric)


def fewest_pairs(metrics: Sequence[str]) -> int:
    """Return how many pairs a block needs, so that two runs lie beyond every quantile that is asked for."""
    return max([1, *(math.ceil(2 / (1 - quantile(metric)) - 1e-9) for metric in metrics if metric != QUICK)])


def quantile(metric: str) -> float:
    """Return 0.95 for ``p95``."""
    return float(metric[1:]) / 100


def measure(
    base: Load, new: Load, *, pairs: int, order: random.Random, end: float, observer: Observer = NOBODY
) -> Block | None:
    """Load and measure one block, or return ``None`` where the clock (``time.perf_counter``) passes ``end`` before."""
    calls: list[Call] = [base, new]
    for index in order.sample((0, 1), 2):
        observer.before_call(index, 0.0)
        calls[index] = (base, new)[index]()
    warmed, begun = 0, time.perf_counter()
    while warmed < _MOST_UNTIMED and (not warmed or time.perf_counter() - begun < _UNTIMED_SECONDS):
        for index in order.sample((0, 1), 2):
            observer.before_call(index, 0.0)
            calls[index]()
        warmed += 1
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(pairs):
        if time.perf_counter() >= end:
            return None
        for index in order.sample((0, 1), 2):
            observer.before_call(index, 0.0)
            seconds[index].append(time_once(calls[index]))
    return Block(*seconds)


def _level(seconds: Sequence[float], metric: str) -> float:
    logs = np.log(np.asarray(seconds, dtype=float))
    if metric == QUICK:
        return float(np.sort(logs)[: math.ceil(FASTEST * len(logs))].mean())
    return float(np.quantile(logs, quantile(metric)))
