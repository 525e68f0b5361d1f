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

import os
from collections.abc import Mapping

from compress.errors import InputError
from deploy.judging import policy as policies
from deploy.judging.judge import judge
from deploy.judging.policy import TAILS
from deploy.records import Verdict
from deploy.sessions import check_positive
from deploy.timing import Progress, silent


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

    For memory, size, multiply-accumulates and accuracy see :func:`deploy.judging.judge.judge`.

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
    unknown = [name for name in tails or {} if name not in TAILS]
    if unknown:
        raise InputError(f"no tail of latency is called {unknown[0]!r}", hint=f"there are {', '.join(TAILS)}")
    check_positive(max_regression=max_regression, budget=budget, alpha=alpha, timeout=timeout, **(tails or {}))
    values = {
        "latency": max_regression,
        **(tails or {}),
        "runtime": runtime,
        "threads": threads,
        "batch": batch,
        "sizes": dict(sizes or {}),
        "budget": budget,
        "alpha": alpha,
        "seed": seed,
        "timeout": timeout,
    }
    return judge(base, new, policies.make(values), progress=progress)
