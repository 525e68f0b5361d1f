"""What is done in place of a gate: one block of runs after the other, and a threshold on a ratio."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.gate_trials.network import SIDE
from benchmarks.sparse_arms.timing import session

_FEEDS = {"input": np.random.default_rng(1).standard_normal((1, 3, SIDE, SIDE)).astype(np.float32)}
_UNTIMED = 10
_ROUNDS = 30
_FEWEST_ROUNDS = 5


def milliseconds(found: Any) -> float:
    """Time one run."""
    begun = time.perf_counter_ns()
    found.run(None, _FEEDS)
    return (time.perf_counter_ns() - begun) * 1e-6


def blocks(base: Path, new: Path) -> dict[str, float]:
    """The slow-down by 30 runs of ``base`` and then 30 of ``new``, both loaded and warm: of medians and of minima."""
    sessions = [session(path, 1) for path in (base, new)]
    for found in sessions:
        for _ in range(_UNTIMED):
            found.run(None, _FEEDS)
    first, second = ([milliseconds(found) for _ in range(_ROUNDS)] for found in sessions)
    return _slowdowns(first, second)


def stored(base: Path, new: Path, seconds: float) -> dict[str, float]:
    """The slow-down as pytest-benchmark sees it: rounds for ``seconds`` (at least five), compared with those saved.

    One file is loaded and measured, then the other, as ``--benchmark-compare-fail=median:2%`` (or ``min:2%``) compares
    a run with an earlier one. Its default is a second a side. Here the earlier run is only just over: kinder to it
    than a stored file.
    """
    return _slowdowns(_rounds(base, seconds), _rounds(new, seconds))


def _rounds(path: Path, seconds: float) -> list[float]:
    found = session(path, 1)
    for _ in range(_FEWEST_ROUNDS):  # its calibration runs the function too
        found.run(None, _FEEDS)
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while len(taken) < _FEWEST_ROUNDS or time.perf_counter() < end:
        taken.append(milliseconds(found))
    return taken


def _slowdowns(base: list[float], new: list[float]) -> dict[str, float]:
    return {"median": median(new) / median(base) - 1, "min": min(new) / min(base) - 1}
