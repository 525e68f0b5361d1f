"""Try a change: both on the bench, in pairs in random order, like any comparison."""

from __future__ import annotations

import math
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from compress.errors import InputError
from deploy.sessions import Bench, Request, open_bench
from deploy.statistics import Interval, median_interval
from deploy.timing import Call, pair, warm_up
from deploy.why.advice.base import Trial
from deploy.why.case import Case
from deploy.why.tiny import save

if TYPE_CHECKING:
    import onnx

_LEVEL = 0.005  # of each bound: together 99 %
_FEWEST_PAIRS = 16
_WARMING = 0.25
_LARGEST = 1.9e9  # bytes: protobuf ends at 2 GiB


def with_file(case: Case, make: Callable[[], onnx.ModelProto]) -> Trial:
    """Return the trial of another file in place of the new one."""

    def trial(seconds: float) -> Interval:
        held = sum(tensor.bytes or 0 for tensor in case.graphs[1].tensors.values() if tensor.constant)
        if held > _LARGEST:
            raise InputError(f"{held / 1e9:.1f} GB of weights are more than one file can hold")
        with tempfile.TemporaryDirectory() as folder:
            path = save(make(), Path(folder) / "tried.onnx")
            bench = open_bench(path, case.request, case.benches[1].file)
            return _ratio(case.benches[1].call, bench.call, seconds, case.request.seed)

    return trial


def with_request(case: Case, request: Request) -> Trial:
    """Return the trial of other threads, or another batch (its time counts for each sample of the old one)."""

    def trial(seconds: float) -> Interval:
        bench: Bench = open_bench(case.paths[1], request, case.benches[1].file)
        found = _ratio(case.benches[1].call, bench.call, seconds, case.request.seed)
        share = case.request.batch / request.batch
        return Interval(
            found.value * share,
            None if found.low is None else found.low * share,
            None if found.high is None else found.high * share,
        )

    return trial


def other_threads(case: Case, threads: int) -> Trial:
    """Return the trial of another number of threads."""
    return with_request(case, replace(case.request, threads=threads))


def _ratio(old: Call, new: Call, seconds: float, seed: int) -> Interval:
    order = random.Random(seed)
    warm_up([old, new], limit=_WARMING * seconds, seed=seed)
    logs: list[float] = []
    begun = time.perf_counter()
    while len(logs) < _FEWEST_PAIRS or time.perf_counter() - begun < (1 - _WARMING) * seconds:
        first, second = pair(old, new, order)
        logs.append(math.log(second / first))
    found = median_interval(logs, _LEVEL)
    return Interval(
        math.exp(found.value),
        None if found.low is None else math.exp(found.low),
        None if found.high is None else math.exp(found.high),
    )
