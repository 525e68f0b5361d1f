"""How much slower the slower networks really are: long paired runs, loaded many times over, without the gate's code."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.gate_trials.network import write
from benchmarks.gate_trials.rules import milliseconds
from benchmarks.sparse_arms.timing import session

KINDS = {"plus3": 0.03, "plus5": 0.05, "plus10": 0.10}
_TRIED = (0, 3, 6, 9, 12, 16)
_LOADS = 12
_UNTIMED = 5


def choose(folder: Path, rounds: int) -> dict[str, int]:
    """Return by how many layers each slower network is longer, as near to 3, 5 and 10 % as whole layers allow."""
    paths = {str(extra): folder / f"tried{extra}.onnx" for extra in _TRIED}
    for extra, path in paths.items():
        write(path, int(extra))
    found = ratios(paths, "0", rounds)
    shares = [found[str(extra)]["ratio"] - 1 for extra in _TRIED]
    return {kind: max(1, round(float(np.interp(share, shares, _TRIED)))) for kind, share in KINDS.items()}


def ratios(paths: Mapping[str, Path], base: str, rounds: int) -> dict[str, dict[str, float]]:
    """Return for every file its time over that of ``base``: the median over loads of each load's median of rounds.

    In every load all files are loaded afresh in a new order, and every round runs each once in a new order. ``error``
    is the standard error over the loads, ``ms`` the median milliseconds of a run.
    """
    chance = random.Random(0)
    seen: dict[str, list[float]] = {kind: [] for kind in paths}
    times: dict[str, list[float]] = {kind: [] for kind in paths}
    for _ in range(_LOADS):
        order = chance.sample(list(paths), len(paths))
        sessions = {kind: session(paths[kind], 1) for kind in order}
        logs: dict[str, list[float]] = {kind: [] for kind in paths}
        for turn in range(_UNTIMED + rounds // _LOADS):
            taken = {kind: milliseconds(sessions[kind]) for kind in chance.sample(order, len(order))}
            if turn >= _UNTIMED:
                for kind, value in taken.items():
                    logs[kind].append(np.log(value / taken[base]))
                    times[kind].append(value)
        for kind in paths:
            seen[kind].append(median(logs[kind]))
    return {
        kind: {
            "ratio": float(np.exp(median(values))),
            "error": float(np.std(values, ddof=1) / len(values) ** 0.5),
            "ms": median(times[kind]),
        }
        for kind, values in seen.items()
    }
