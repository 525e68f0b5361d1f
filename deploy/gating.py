"""The gate: is the new file slower than allowed? Decided sequentially, with an error bound that stopping cannot break.

Both files are loaded afresh again and again, in a process of their own, and run in pairs in random order: a *block*.
Each block gives a log-ratio ``log(new / base)`` of the fastest quarter of each file's runs, and of tail quantiles where
a tolerance is given for them. Bets on the sign of its distance from the tolerance reach ``1 / alpha`` with
probability at most ``alpha`` where there is nothing to win (:mod:`deploy.duet.wealth`), so that

    P(FAIL although no slow-down exceeds its tolerance) <= alpha
    P(PASS although some slow-down is at least its tolerance) <= alpha

however long the test runs and whatever ends it. Why the bets are fair, whatever the noise: :mod:`deploy.duet.contest`.

Before that the baseline is measured against itself in the same way. That gives the resolution: the distance from the
tolerance that this machine can tell within the budget. A tolerance below it is refused: at once where the machine is
more than twice too coarse, otherwise when the budget has run out without a decision.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from compress.errors import CompressError, InputError
from deploy.comparing import paired_precision
from deploy.duet.blocks import QUICK
from deploy.environment import Environment
from deploy.modelfile import inspect
from deploy.records import Conditions, Control, Look, Methodology, ModelFile, Shift, Verdict, WarmUp, exit_code
from deploy.runner import children
from deploy.sessions import INPUTS_TEXT, Request, check_positive
from deploy.timing import Progress, silent
from deploy.wording import paragraph

_TASK = "deploy.duet.task:contest"
TAILS = ("p90", "p95", "p99")


def gate(
    base: str | os.PathLike[str],
    new: str | os.PathLike[str],
    *,
    max_regression: float = 0.05,
    tails: Mapping[str, float] | None = None,
    runtime: str = "onnxruntime-cpu",
    threads: int = 1,
    batch: int = 1,
    sizes: Mapping[str, int] | None = None,
    budget: float = 60.0,
    alpha: float = 0.01,
    seed: int = 0,
    timeout: float = 120.0,
    progress: Progress = silent,
) -> Verdict:
    """Decide whether ``new`` is slower than ``base`` by more than ``max_regression``.

    Args:
        max_regression: the slow-down allowed; 0.05 lets ``new`` take up to 5 % longer.
        tails: the slow-down allowed of ``p90``, ``p95`` or ``p99``; what is not named is not judged.
        budget: seconds after which the gate gives up as inconclusive (loading the files once comes on top).
        alpha: bound on the chance of a wrong FAIL, and separately on that of a wrong PASS.
        timeout: seconds without a sign of life after which a runtime is taken to hang.

    Returns:
        A verdict with ``exit_code`` 0 (pass), 1 (fail) or 3 (inconclusive, or the tolerance is below what this
        machine can resolve within the budget), one paragraph of text, and everything measured.

    Raises:
        InputError: a file is missing, damaged, crashes or does not run, inputs differ, or an argument makes no sense.
        UnavailableError: the runtime is not available on this machine.
    """
    request = Request(runtime, threads, batch, sizes, seed)
    request.check()
    check_positive(max_regression=max_regression, budget=budget, alpha=alpha, timeout=timeout)
    if alpha >= 0.5:
        raise InputError(f"alpha is {alpha}", hint="give a small probability such as 0.01")
    tolerances = {QUICK: max_regression, **_checked(tails or {})}
    files = [inspect(path) for path in (base, new)]
    asked = [str(Path(path).resolve()) for path in (base, new)]
    arguments = {
        "files": asked,
        "runtime": runtime,
        "threads": threads,
        "batch": batch,
        "sizes": dict(sizes or {}),
        "seed": seed,
        "tolerances": tolerances,
        "budget": budget,
        "alpha": alpha,
    }
    try:
        found = children.run(_TASK, arguments, timeout=timeout, tick=progress)
    except children.TaskError as refused:
        raise _named(refused.error, asked, (base, new)) from refused
    except children.ChildError as died:
        where = os.fspath((base, new)[died.at]) if died.at is not None else None
        raise InputError(died.reason, where=where, hint=died.hint) from died
    return _verdict(found, files, arguments)


def _checked(tails: Mapping[str, float]) -> Mapping[str, float]:
    unknown = [name for name in tails if name not in TAILS]
    if unknown:
        raise InputError(f"no tail of latency is called {unknown[0]!r}", hint=f"there are {', '.join(TAILS)}")
    check_positive(**tails)
    return tails


def _named(error: CompressError, known: list[str], given: tuple[str | os.PathLike[str], ...]) -> CompressError:
    """The same error about the path as it was given, not as it was resolved."""
    if error.where not in known:
        return error
    return type(error)(error.what, where=os.fspath(given[known.index(error.where)]), hint=error.hint)


def _verdict(found: Mapping[str, Any], files: list[ModelFile], asked: Mapping[str, Any]) -> Verdict:
    shifts = [_shift(track) for track in found["tracks"]]
    latency, first = shifts[0], found["tracks"][0]
    status = _overall([shift.status for shift in shifts])
    noise = first["noise"]
    said = found["description"]
    verdict = Verdict(
        status=status,
        exit_code=exit_code(status),
        text="",
        base=files[0],
        new=files[1],
        tolerance=latency.tolerance,
        alpha=asked["alpha"],
        slowdown=latency.slowdown,
        low=latency.low,
        high=latency.high,
        resolution=latency.resolution,
        control=Control(
            value=math.expm1(median(noise)) if noise else None,
            low=math.expm1(min(noise)) if noise else None,
            high=math.expm1(max(noise)) if noise else None,
            pairs=len(noise) * found["pairs_per_block"],
            offsets=[math.expm1(value) for value in noise],
        ),
        pairs=len(first["values"]) * found["pairs_per_block"],
        blocks=len(first["values"]),
        looks=[Look.model_validate(look) for look in first["looks"]],
        shifts=shifts,
        seconds=found["seconds"],
        budget=asked["budget"],
        base_p50=_middle(found["base_milliseconds"]),
        new_p50=_middle(found["new_milliseconds"]),
        conditions=Conditions(
            runtime=said["runtime"],
            version=said["version"],
            provider=said["provider"],
            precision=paired_precision(files[0].precision, files[1].precision),
            threads=said["threads"],
            batch=asked["batch"],
            device=found["device"],
            inputs=found["inputs"],
            settings=said["settings"],
        ),
        methodology=_methodology(found, asked),
        environment=Environment.model_validate(found["environment"]),
        warmup=WarmUp.model_validate(found["warmup"]),
    )
    return verdict.model_copy(update={"text": paragraph(verdict)})


def _shift(track: Mapping[str, Any]) -> Shift:
    last = track["looks"][-1] if track["looks"] else {"slowdown": None, "low": None, "high": None}
    return Shift(
        metric=track["metric"],
        tolerance=track["tolerance"],
        status=track["status"],
        slowdown=last["slowdown"],
        low=last["low"],
        high=last["high"],
        resolution=track["resolution"],
    )


def _overall(found: list[Any]) -> Any:
    """The worst of all: one failure fails, and to pass all must."""
    return next(status for status in ("fail", "unresolvable", "inconclusive", "pass") if status in found)


def _middle(milliseconds: list[float]) -> float | None:
    return median(milliseconds) if milliseconds else None


def _methodology(found: Mapping[str, Any], asked: Mapping[str, Any]) -> Methodology:
    metrics = len(asked["tolerances"])
    share = f" (each of {metrics} metrics at {asked['alpha'] / metrics:g})" if metrics > 1 else ""
    return Methodology(
        order=(
            f"blocks of {found['pairs_per_block']} pairs of one run each, both files loaded afresh in one process for "
            "every block, random order of loading and within every pair"
        ),
        inputs=INPUTS_TEXT,
        warmup="until the last half of the runs shows no trend (Mann-Kendall, 5 %), for at most 15 % of the budget",
        intervals=(
            "log-ratio of each block (latency: mean logarithm of the fastest quarter of each file's runs), bets on its "
            "sign with bounded stakes; bounds hold at all times together, wrong with probability at most "
            f"{asked['alpha']:g} for FAIL{share} and for PASS each"
        ),
        seed=asked["seed"],
    )
