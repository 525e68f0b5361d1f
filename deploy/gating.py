"""The gate: is the new file slower than allowed? Decided sequentially, with an error bound that stopping cannot break.

Both files are loaded in one process. Pairs of runs, in random order, give log-ratios ``d = log(new / base)``. At
predetermined sample sizes (16, 21, 28 ... growing by 1.3) the median of ``d`` gets one-sided bounds from order
statistics (the sign test), the look numbered ``k`` from 0 spending ``alpha / ((k + 1)(k + 2))`` per side. These sum to
``alpha``, so by the union bound

    P(FAIL although the median slow-down is at most the tolerance) <= alpha
    P(PASS although the median slow-down is at least the tolerance) <= alpha

however long the test runs and whatever ends it. Decisions are taken at those looks only: when the budget runs out
between two, there is none. Nor is there one in the first 2 % of the budget, so that a moment's disturbance cannot pass
for a difference (skipping looks only lowers the chance of error).

What is assumed: the signs of ``d - log(1 + tolerance)`` are independent from pair to pair. For two copies of one file
the randomised order within pairs makes it so at tolerance 0, whatever the noise; otherwise pairing removes what is
common to both runs, and what remains is close to independent.

Two loaded copies of one file differ steadily by some tenths of a percent (where their memory lies, say), which no
number of pairs removes. So the baseline is first paired with six copies of itself, each loaded afresh, and a verdict
needs the bound to clear the tolerance by the offset that a seventh copy may have: a prediction interval at ``alpha``
per side, offsets taken as normal.
"""

from __future__ import annotations

import functools
import math
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist, mean, median, stdev

from compress.errors import InputError
from deploy import environment
from deploy.comparing import ORDER_TEXT, change_text, paired_precision
from deploy.records import Control, Look, Methodology, Status, Verdict, WarmUp, exit_code
from deploy.sessions import INPUTS_TEXT, Bench, Request, check_positive, check_same_inputs, open_bench
from deploy.statistics import FIRST_LOOK, look_level, look_sizes, median_interval, student_quantile
from deploy.timing import Call, Progress, Warmth, pair, silent, warm_up

_WARMUP_SHARE = 0.15
_PILOT_SHARE = 0.15
_LONGEST_PILOT_SHARE = 0.5
_COPIES = 6
_FEWEST_PER_COPY = 5
_MOST_PILOT = 2000
_PILOT_LEVEL = 0.05
_SHORTEST_SHARE = 0.02
_MOST_PAIRS = 200_000


@dataclass(frozen=True)
class _Pilot:
    """The baseline against copies of itself: the noise of this machine, and the seconds that one pair takes."""

    copies: list[list[float]]
    per_pair: float

    @property
    def logs(self) -> list[float]:
        """The log-ratios of all pairs."""
        return [value for copy in self.copies for value in copy]

    @property
    def offsets(self) -> list[float]:
        """The steady difference of each copy: the median of its log-ratios."""
        return [median(copy) for copy in self.copies]

    def margin(self, alpha: float) -> float | None:
        """Return the largest steady offset that another file may have, or None where too few copies were run."""
        offsets = self.offsets
        if len(offsets) < _COPIES:
            return None
        quantile = student_quantile(1 - alpha, len(offsets) - 1)
        return abs(mean(offsets)) + quantile * stdev(offsets) * math.sqrt(1 + 1 / len(offsets))


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
    twin = functools.partial(open_bench, base, request, benches[0].file)
    return _Gate(benches[0], twin, benches[1], max_regression, budget, alpha, seed, progress).decide()


@dataclass
class _Gate:
    base: Bench
    twin: Callable[[], Bench]
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
        calls = [bench.call for bench in (self.base, self.new)]
        warmth = warm_up(calls, limit=self.budget * _WARMUP_SHARE, seed=self.seed)
        order = random.Random(self.seed)
        self.progress(_WARMUP_SHARE / 2, "measuring this machine's noise")
        pilot = _measure_noise(calls[0], self.twin, self.budget, order)
        resolution = _resolution(pilot, warmth, end - time.perf_counter(), self.alpha)
        looks: list[Look] = []
        status: Status = "unresolvable"
        margin = pilot.margin(self.alpha)
        if resolution is not None and margin is not None and resolution <= self.tolerance:
            status = self._look_until_decided(calls[0], calls[1], order, end, margin, looks)
        return self._verdict(status, looks, pilot, resolution, warmth, time.perf_counter() - start, around)

    def _look_until_decided(
        self, base: Call, new: Call, order: random.Random, end: float, margin: float, looks: list[Look]
    ) -> Status:
        allowed = math.log1p(self.tolerance)
        fails_above, passes_below = math.expm1(allowed + margin), math.expm1(allowed - margin)
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
            if look.low is not None and look.low > fails_above:
                return "fail"
            if look.high is not None and look.high < passes_below:
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
                offsets=[math.expm1(offset) for offset in pilot.offsets],
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


def _measure_noise(base: Call, twin: Callable[[], Bench], budget: float, order: random.Random) -> _Pilot:
    """Pair the baseline with fresh copies of itself, one after another, for 15 % of the budget in all.

    A slow file gets up to half of the budget, for the five pairs that each copy needs at least.
    """
    copies: list[list[float]] = []
    spent = 0.0
    while len(copies) < _COPIES and spent < budget * _LONGEST_PILOT_SHARE:
        call = twin().call
        call()  # the first run of a session is not like the others
        logs: list[float] = []
        begun = time.perf_counter()
        while len(logs) < _FEWEST_PER_COPY or (
            len(logs) < _MOST_PILOT / _COPIES and time.perf_counter() - begun < budget * _PILOT_SHARE / _COPIES
        ):
            first, second = pair(base, call, order)
            logs.append(math.log(second / first))
        copies.append(logs)
        spent += time.perf_counter() - begun
    return _Pilot(copies, spent / sum(len(copy) for copy in copies))


def _resolution(pilot: _Pilot, warmth: Warmth, left: float, alpha: float) -> float | None:
    """Return the slow-down that the last look within ``left`` seconds will be able to tell from none.

    The half-width that the baseline's own pairs show at 5 %, scaled to that look's level and by the root of the pair
    counts, plus the steady offset that two copies of one file may have, which no number of pairs removes. ``None``: the
    budget is too short for any look at all.
    """
    per_pair = max(pilot.per_pair, warmth.seconds / warmth.runs * 2 / 3)
    sizes = look_sizes(min(int(max(left, 0.0) / per_pair), _MOST_PAIRS))
    if not sizes:
        return None
    # At the look's own level a short pilot would be judged by its most extreme pairs, the stalls of the machine.
    seen = median_interval(pilot.logs, _PILOT_LEVEL)
    margin = pilot.margin(alpha)
    if seen.low is None or seen.high is None or margin is None:
        return None
    normal = NormalDist()
    stricter = normal.inv_cdf(look_level(len(sizes) - 1, alpha)) / normal.inv_cdf(_PILOT_LEVEL)
    half_width = (seen.high - seen.low) / 2 * stricter * math.sqrt(len(pilot.logs) / sizes[-1])
    return math.expm1(half_width + margin)


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
            f"look k spends alpha / ((k + 1)(k + 2)) per side, in all at most {alpha:g} per side under any stopping; "
            f"a verdict clears the tolerance by the offset of a fresh copy of the baseline ({_COPIES} copies)"
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
