"""Times of the operators of two files, taken in turns, so that a machine that slows down slows both."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from deploy.runtimes.base import OperatorTiming
from deploy.sessions import Bench
from deploy.timing import Progress, time_once

_MOST_RUNS = 20
_FEWEST_RUNS = 3
_ROUNDS = 5

Key = tuple[str, str, int]


def interleaved(
    benches: Sequence[Bench], *, seconds: float, seed: int, progress: Progress
) -> list[list[OperatorTiming]]:
    """Return each file's operators, their times medians over rounds in random order.

    Raises:
        UnavailableError: the runtime does not tell the times of operators.
    """
    order = random.Random(seed)
    each = seconds / _ROUNDS / sum(min(time_once(bench.call) for _ in range(3)) for bench in benches)
    runs = min(max(int(each), _FEWEST_RUNS), _MOST_RUNS)
    rounds: list[list[list[OperatorTiming]]] = [[] for _ in benches]
    for done in range(_ROUNDS):
        progress(done / _ROUNDS, "timing operators")
        for index in order.sample(range(len(benches)), len(benches)):
            rounds[index].append(benches[index].session.operator_times(benches[index].feeds, runs=runs))
    return [_medians(found) for found in rounds]


def _medians(rounds: Sequence[Sequence[OperatorTiming]]) -> list[OperatorTiming]:
    times: dict[Key, list[float]] = {}
    for operators in rounds:
        for key, operator in _keyed(operators):
            times.setdefault(key, []).append(operator.milliseconds)
    return [replace(operator, milliseconds=median(times[key])) for key, operator in _keyed(rounds[-1])]


def _keyed(operators: Sequence[OperatorTiming]) -> list[tuple[Key, OperatorTiming]]:
    """Operators by name and kind; those that share both are told apart by their order."""
    seen: Counter[tuple[str, str]] = Counter()
    keyed = []
    for operator in operators:
        name = operator.name, operator.kind
        keyed.append(((*name, seen[name]), operator))
        seen[name] += 1
    return keyed
