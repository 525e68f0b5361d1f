"""Paired timing: all sessions alive, each round in a new random order, ratios within the round."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

UNTIMED = 2


def session(path: Path, threads: int) -> Any:
    """An ONNX Runtime session with all optimisations; with the sparse operators where the file has them."""
    import onnxruntime as ort

    from compress import operators

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    options.add_session_config_entry("session.force_spinning_stop", "1")  # the other sessions' threads must not run
    library = operators.library_beside(path)
    if library is not None:
        options.register_custom_ops_library(str(library))
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def paired(sessions: Mapping[str, Any], batch: int, rounds: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Milliseconds of every session in every round."""
    picture = np.random.default_rng(1).standard_normal((batch, 3, 224, 224)).astype(np.float32)
    feeds = {key: {found.get_inputs()[0].name: picture} for key, found in sessions.items()}
    for key, found in sessions.items():
        found.run(None, feeds[key])
    times: dict[str, list[float]] = {key: [] for key in sessions}
    order = list(sessions)
    chance = random.Random(0)
    for _ in range(rounds):
        chance.shuffle(order)
        for key in order:
            for _ in range(UNTIMED):  # the others have emptied the caches
                sessions[key].run(None, feeds[key])
            begun = clock()
            sessions[key].run(None, feeds[key])
            times[key].append((clock() - begun) * 1e3)
    return times


def clock_of(threads: int) -> Callable[[], float]:
    """CPU time where there is one thread, since other work does not count in it; otherwise the wall's."""
    return time.process_time if threads == 1 else time.perf_counter


def speedup(dense: list[float], other: list[float]) -> tuple[float, float, float]:
    """Median of the rounds' ratios dense / other, and the interval that holds it with 95 % (of order statistics)."""
    ratios = np.sort(np.array(dense) / np.array(other))
    count = len(ratios)
    reach = 0.98 * np.sqrt(count)
    low, high = max(0, int(count / 2 - reach)), min(count - 1, int(np.ceil(count / 2 + reach)))
    return float(np.median(ratios)), float(ratios[low]), float(ratios[high])
