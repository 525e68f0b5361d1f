"""Compare two deployment files by paired, randomised, interleaved runs in one process, which is not this one."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from statistics import median

from deploy.asking import ask, conditions
from deploy.environment import Environment
from deploy.modelfile import inspect
from deploy.records import Comparison, Methodology, WarmUp
from deploy.sessions import INPUTS_TEXT, check_positive, thinned
from deploy.statistics import median_interval
from deploy.timing import Progress, silent

_TASK = "deploy.duet.task:pairs"
ORDER_TEXT = "pairs of one run each, both files loaded in one process, random order within every pair"
WARMUP_TEXT = "until the last half of the runs shows no trend (Mann-Kendall, 5 %), for at most a quarter of the time"
_CONFIDENCE = 0.99
_FEWEST_PAIRS = 16
_MOST_PAIRS = 20_000


def compare(
    base: str | os.PathLike[str],
    new: str | os.PathLike[str],
    *,
    runtime: str = "onnxruntime-cpu",
    threads: int = 1,
    batch: int = 1,
    sizes: Mapping[str, int] | None = None,
    seconds: float = 10.0,
    seed: int = 0,
    timeout: float = 120.0,
    progress: Progress = silent,
) -> Comparison:
    """Return the median of the paired ratios ``new / base`` with a distribution-free 99 % interval (sign test).

    The number of pairs is fixed after the warm-up, from how long runs took there, so that the interval does not
    depend on what is measured. ``seconds`` is the measuring time aimed at; never fewer than 16 pairs are taken. A
    runtime that gives no sign of life for ``timeout`` seconds is taken to hang.

    Raises:
        InputError: a file is missing, damaged, crashes or does not run, or the files' inputs differ.
        UnavailableError: the runtime is not available on this machine.
    """
    check_positive(seconds=seconds, timeout=timeout)
    files = (inspect(base), inspect(new))
    arguments = {
        "runtime": runtime,
        "threads": threads,
        "batch": batch,
        "sizes": dict(sizes or {}),
        "seconds": seconds,
        "fewest": _FEWEST_PAIRS,
        "most": _MOST_PAIRS,
        "seed": seed,
    }
    found = ask(_TASK, (base, new), arguments, timeout=timeout, tick=progress)
    logs = [math.log(second / first) for first, second in zip(found["base"], found["new"], strict=True)]
    interval = median_interval(logs, (1 - _CONFIDENCE) / 2)
    result = Comparison(
        base=files[0],
        new=files[1],
        conditions=conditions(found, files, batch),
        methodology=_methodology(seed),
        environment=Environment.model_validate(found["environment"]),
        warmup=WarmUp.model_validate(found["warmup"]),
        pairs=len(logs),
        confidence=_CONFIDENCE,
        ratio=math.exp(interval.value),
        ratio_low=_exp(interval.low),
        ratio_high=_exp(interval.high),
        base_p50=median(found["base"]) * 1e3,
        new_p50=median(found["new"]) * 1e3,
        ratios=thinned([math.exp(value) for value in logs]),
        text="",
    )
    return result.model_copy(update={"text": _sentence(result)})


def change_text(ratio: float) -> str:
    """Return ``ratio`` (new / base) in words: ``1.84 times as fast`` or ``3.1 % slower``."""
    if ratio <= 0.8:
        return f"{1 / ratio:.2f} times as fast"
    if ratio >= 1.25:
        return f"{ratio:.2f} times as slow"
    return f"{abs(ratio - 1):.1%} {'faster' if ratio < 1 else 'slower'}".replace("%", " %")


def _methodology(seed: int) -> Methodology:
    return Methodology(
        order=ORDER_TEXT,
        inputs=INPUTS_TEXT,
        warmup=WARMUP_TEXT,
        intervals=f"median of log-ratios, order statistics (sign test), {_CONFIDENCE:.0%}, pairs taken as independent",
        seed=seed,
    )


def _sentence(result: Comparison) -> str:
    if result.ratio_low is None or result.ratio_high is None:
        bounds = "no interval: too few pairs"
    else:
        level = f"{result.confidence * 100:g} %"
        bounds = f"{level} interval of the time ratio {result.ratio_low:.4f} to {result.ratio_high:.4f}"
    drift = "" if result.warmup.stationary else " Latencies were still drifting when the warm-up ended."
    return (
        (
            f"{result.new.name} is {change_text(result.ratio)} than {result.base.name} ({bounds}, "
            f"{result.pairs} pairs, {result.conditions.describe()}).{drift}"
        )
        .replace("as fast than", "as fast as")
        .replace("as slow than", "as slow as")
    )


def _exp(value: float | None) -> float | None:
    return None if value is None else math.exp(value)
