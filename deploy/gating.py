"""The gate: is the new file slower than allowed? Decided sequentially, with an error bound that stopping cannot break.

Both files and a second copy of the baseline are loaded in one process. Pairs of runs, in random order, give log-ratios
``d = log(new / base)``. At predetermined sample sizes (16, 21, 28 ... growing by 1.3) the median of ``d`` gets
one-sided bounds from order statistics (the sign test), the look numbered ``k`` from 0 spending
``alpha / ((k + 1)(k + 2))`` per side. These sum to ``alpha``, so by the union bound

    P(FAIL although the median slow-down is at most the tolerance) <= alpha
    P(PASS although the median slow-down is at least the tolerance) <= alpha

however long the test runs and whatever ends it. Decisions are taken at those looks only: when the budget runs out
between two, there is none. Nor is there one in the first 2 % of the budget, so that a moment's disturbance cannot pass
for a difference (skipping looks only lowers the chance of error).

What is assumed: the signs of ``d - log(1 + tolerance)`` are independent from pair to pair. For two copies of one file
the randomised order within pairs makes it so at tolerance 0, whatever the noise; otherwise pairing removes what is
common to both runs, and what remains is close to independent.
"""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

from compress.errors import InputError
from deploy import environment
from deploy.comparing import ORDER_TEXT, change_text, paired_precision
from deploy.records import Control, Look, Methodology, Status, Verdict, WarmUp, exit_code
from deploy.sessions import INPUTS_TEXT, Bench, Request, check_positive, check_same_inputs, open_bench
from deploy.statistics import FIRST_LOOK, look_level, look_sizes, median_interval
from deploy.timing import Call, Progress, Warmth, pair, silent, warm_up

_WARMUP_SHARE = 0.15
_PILOT_SHARE = 0.15
_LONGEST_PILOT_SHARE = 0.5
_FEWEST_PILOT = 24
_MOST_PILOT = 2000
_PILOT_LEVEL = 0.05
_SHORTEST_SHARE = 0.02
_MOST_PAIRS = 200_000


@dataclass(frozen=True)
class _Pilot:
    """The baseline against its own copy: the noise of this machine, and the seconds that one pair takes."""

    logs: list[float]
    per_pair: float


def gate(
    base: str | os.PathLike[str],
    new: str | os.PathLike[str],
    *,
    max_regression: float = 0.05,
    runtime: str = "onnxruntime-cpu",
    threads: int = 1,
    batch: int = 1,
    sizes: Mapping[str, int] | None = None,
    budget: float = 60.0,
    alpha: float = 0.01,
    seed: int = 0,
    progress: Progress = silent,
) -> Verdict:
    """Decide whether ``new`` is slower than ``base`` by more than ``max_regression``.

    Args:
        max_regression: the slow-down allowed; 0.05 lets ``new`` take up to 5 % longer.
        budget: seconds after which the gate gives up as inconclusive (loading the files comes on top).
        alpha: bound on the chance of a wrong FAIL, and separately on that of a wrong PASS.

    Returns:
        A verdict with ``exit_code`` 0 (pass), 1 (fail) or 3 (inconclusive, or the tolerance is below what this
        machine can resolve within the budget), one paragraph of text, and everything measured.

    Raises:
        InputError: a file is missing, damaged or does not run, inputs differ, or an argument makes no sense.
        UnavailableError: the runtime is not available on this machine.
    """
    request = Request(runtime, threads, batch, sizes, seed)
    request.check()
    check_positive(max_regression=max_regression, budget=budget, alpha=alpha)
    if alpha >= 0.5:
        raise InputError(f"alpha is {alpha}", hint="give a small probability such as 0.01")
    benches = [open_bench(path, request) for path in (base, new)]
    check_same_inputs(*benches)
    twin = open_bench(base, request, benches[0].file)
    return _Gate(benches[0], twin, benches[1], max_regression, budget, alpha, seed, progress).decide()


@dataclass
class _Gate:
    base: Bench
    twin: Bench
    new: Bench
    tolerance: float
    budget: float
    alpha: float
    seed: int
    progress: Progress

    def decide(self) -> Verdict:
        start = time.perf_counter()
        end = start + self.budget
        around = environment.capture()
        self.progress(0.0, "warming up")
        calls = [bench.call for bench in (self.base, self.twin, self.new)]
        warmth = warm_up(calls, limit=self.budget * _WARMUP_SHARE, seed=self.seed)
        order = random.Random(self.seed)
        self.progress(_WARMUP_SHARE / 2, "measuring this machine's noise")
        pilot = _measure_noise(calls[0], calls[1], self.budget, order)
        resolution = _resolution(pilot, warmth, end - time.perf_counter(), self.alpha)
        looks: list[Look] = []
        status: Status = "unresolvable"
        if resolution is not None and resolution <= self.tolerance:
            status = self._look_until_decided(calls[0], calls[2], order, end, looks)
        return self._verdict(status, looks, pilot, resolution, warmth, time.perf_counter() - start, around)

    def _look_until_decided(self, base: Call, new: Call, order: random.Random, end: float, looks: list[Look]) -> Status:
        logs: list[float] = []
        begun = time.perf_counter()
        for number, size in enumerate(look_sizes(_MOST_PAIRS)):
            while len(logs) < size:
                now = time.perf_counter()
                if now >= end:
                    return "inconclusive"
                first, second = pair(base, new, order)
                logs.append(math.log(second / first))
            self.progress(min((now - begun) / (end - begun), 1.0), f"{size} pairs")
            look = _look(logs, number, self.alpha)
            looks.append(look)
            if time.perf_counter() - begun < self.budget * _SHORTEST_SHARE:
                continue
            if look.low is not None and look.low > self.tolerance:
                return "fail"
            if look.high is not None and look.high < self.tolerance:
                return "pass"
        return "inconclusive"

    def _verdict(
        self,
        status: Status,
        looks: list[Look],
        pilot: _Pilot,
        resolution: float | None,
        warmth: Warmth,
        seconds: float,
        around: environment.Environment,
    ) -> Verdict:
        last = looks[-1] if looks else None
        control = median_interval(pilot.logs, self.alpha / 2)
        precision = paired_precision(self.base.file.precision, self.new.file.precision)
        verdict = Verdict(
            status=status,
            exit_code=exit_code(status),
            text="",
            base=self.base.file,
            new=self.new.file,
            tolerance=self.tolerance,
            alpha=self.alpha,
            slowdown=last.slowdown if last else None,
            low=last.low if last else None,
            high=last.high if last else None,
            resolution=resolution,
            control=Control(
                value=math.expm1(control.value),
                low=_expm1(control.low),
                high=_expm1(control.high),
                pairs=len(pilot.logs),
            ),
            pairs=last.pairs if last else 0,
            looks=looks,
            seconds=seconds,
            budget=self.budget,
            conditions=self.base.conditions.model_copy(update={"precision": precision}),
            methodology=_methodology(self.alpha, self.seed),
            environment=around,
            warmup=WarmUp(runs=warmth.runs, seconds=warmth.seconds, stationary=warmth.stationary),
        )
        return verdict.model_copy(update={"text": _paragraph(verdict)})


def _measure_noise(base: Call, twin: Call, budget: float, order: random.Random) -> _Pilot:
    """Pair the baseline with its copy: for 15 % of the budget, up to half of it while pairs are fewer than 24."""
    logs: list[float] = []
    start = time.perf_counter()
    spent = 0.0
    while not logs or (
        spent < budget * _LONGEST_PILOT_SHARE
        and (len(logs) < _FEWEST_PILOT or (len(logs) < _MOST_PILOT and spent < budget * _PILOT_SHARE))
    ):
        first, second = pair(base, twin, order)
        logs.append(math.log(second / first))
        spent = time.perf_counter() - start
    return _Pilot(logs, spent / len(logs))


def _resolution(pilot: _Pilot, warmth: Warmth, left: float, alpha: float) -> float | None:
    """Return the slow-down that the last look within ``left`` seconds will be able to tell from none.

    The half-width that the baseline's own pairs show at 5 %, scaled to that look's level and by the root of the pair
    counts, plus the offset seen between two copies of the same file, which no number of pairs removes. ``None``: the
    budget is too short for any look at all.
    """
    per_pair = max(pilot.per_pair, warmth.seconds / warmth.runs * 2 / 3)
    sizes = look_sizes(min(int(max(left, 0.0) / per_pair), _MOST_PAIRS))
    if not sizes:
        return None
    # At the look's own level a short pilot would be judged by its most extreme pairs, the stalls of the machine.
    seen = median_interval(pilot.logs, _PILOT_LEVEL)
    if seen.low is None or seen.high is None:
        return None
    normal = NormalDist()
    stricter = normal.inv_cdf(look_level(len(sizes) - 1, alpha)) / normal.inv_cdf(_PILOT_LEVEL)
    half_width = (seen.high - seen.low) / 2 * stricter * math.sqrt(len(pilot.logs) / sizes[-1])
    return math.expm1(half_width + abs(seen.value))


def _look(logs: list[float], number: int, alpha: float) -> Look:
    level = look_level(number, alpha)
    interval = median_interval(logs, level)
    return Look(
        pairs=len(logs),
        level=level,
        slowdown=math.expm1(interval.value),
        low=_expm1(interval.low),
        high=_expm1(interval.high),
    )


def _methodology(alpha: float, seed: int) -> Methodology:
    return Methodology(
        order=ORDER_TEXT,
        inputs=INPUTS_TEXT,
        warmup="until the last half of the runs shows no trend (Mann-Kendall, 5 %), for at most 15 % of the budget",
        intervals=(
            f"median of log-ratios, order statistics (sign test) at {FIRST_LOOK} pairs and then 1.3 times as many; "
            f"look k spends alpha / ((k + 1)(k + 2)) per side, in all at most {alpha:g} per side under any stopping"
        ),
        seed=seed,
    )


def _paragraph(verdict: Verdict) -> str:
    base, new, tolerance = verdict.base.name, verdict.new.name, percent(verdict.tolerance)
    parts: list[str] = []
    if verdict.status == "unresolvable":
        finest = (
            "it allows no decision at all"
            if verdict.resolution is None
            else f"the finest is {percent(verdict.resolution)}"
        )
        parts.append(
            f"UNDECIDED: a tolerance of {tolerance} is below what this machine can resolve in {verdict.budget:g} s "
            f"({finest}); allow a longer budget or a larger regression, or use a quieter machine."
        )
    else:
        outcome = {
            "pass": f"PASS: {new} is not slower than {base} by {tolerance} or more",
            "fail": f"FAIL: {new} is slower than {base} by more than the {tolerance} allowed",
            "inconclusive": (
                f"INCONCLUSIVE: {verdict.budget:g} s did not settle whether {new} is slower than {base} by {tolerance}"
            ),
        }[verdict.status]
        parts.append(f"{outcome}; {_estimate(verdict)}.")
    parts.append(f"Measured with {verdict.conditions.describe()}: {verdict.pairs} pairs in {verdict.seconds:.1f} s.")
    if verdict.resolution is not None and verdict.status != "unresolvable":
        parts.append(f"This machine resolves changes of {percent(verdict.resolution)} within {verdict.budget:g} s.")
    if not verdict.warmup.stationary:
        parts.append("Latencies were still drifting when the warm-up ended.")
    return " ".join(parts)


def _estimate(verdict: Verdict) -> str:
    if verdict.slowdown is None:
        return "no look was reached"
    if verdict.low is None or verdict.high is None:
        return f"the median change is {change_text(1 + verdict.slowdown)}, without an interval"
    low, high = percent(verdict.low, signed=True), percent(verdict.high, signed=True)
    return f"its time changes by {percent(verdict.slowdown, signed=True)} (between {low} and {high})"


def percent(value: float, *, signed: bool = False) -> str:
    """Return a share as a percentage with three significant digits: ``0.05123`` gives ``5.12 %``."""
    text = f"{value * 100:{'+' if signed else ''}.{0 if abs(value) >= 10 else 3}{'f' if abs(value) >= 10 else 'g'}}"
    return f"{text} %"


def _expm1(value: float | None) -> float | None:
    return None if value is None else math.expm1(value)
