"""Prune to a measured latency: allocate for the predicted one, export, measure, correct, and again."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.errors import PlanError
from compress.pipeline.place import Paired, Place, paired
from compress.pipeline.reporter import Reporter

if TYPE_CHECKING:
    import numpy as np

    from compress import Plan, Program, PruneResult
    from compress.allocation import BoundModel, CostModel, Target
    from compress.axes.analysis import Analysis

TOLERANCE = 0.03
"""Of the target, relative: what the measured latency is to be within."""
_SLOPES = (0.25, 1.5)
_AIM = 0.015  # so near no correction is worth another measurement
ROUNDS = 5
SECONDS = 10.0  # of measuring, each round

Choose = Callable[["Target"], "PruneResult"]
"""Chooses channels for a predicted latency, all other targets and settings as they were asked for."""


@dataclass(frozen=True)
class Round:
    """What was asked of the prediction, what it said of the widths chosen, and what they took: shares of the dense
    network's latency.
    """

    asked: float
    predicted: float
    measured: Paired

    def off(self, wanted: float) -> float:
        """How far the measured latency is from the one wanted, relative to it."""
        return self.measured.ratio / wanted - 1


@dataclass(frozen=True)
class LatencyReport:
    """A latency that was asked for, what was predicted and, but in a dry run, what was measured in each round.

    ``wanted`` and ``predicted`` are shares of the dense network's latency, ``dense`` are its milliseconds. ``chosen``
    is the round whose widths were taken.
    """

    target: str
    wanted: float
    predicted: float
    place: Place
    dense: float
    rounds: tuple[Round, ...] = ()
    chosen: int = 0

    @property
    def measured(self) -> Paired | None:
        """What the widths that were taken take."""
        return self.rounds[self.chosen].measured if self.rounds else None

    @property
    def is_met(self) -> bool:
        """Whether the latency measured is within :data:`TOLERANCE` of the one wanted."""
        return bool(self.rounds) and abs(self.rounds[self.chosen].off(self.wanted)) <= TOLERANCE

    def __str__(self) -> str:
        said = f"{self.target}: predicted {self.predicted:.3f}"
        measured = self.measured
        if measured is None:
            return f"{said}, not measured: a dry run"
        off = self.rounds[self.chosen].off(self.wanted)
        missed = "" if self.is_met else f"; the nearest of {len(self.rounds)} tried"
        if not measured.resolves(TOLERANCE):
            missed += f", which this machine did not resolve to {100 * TOLERANCE:g} % (measure while it is idle)"
        return (
            f"{said}, measured {measured.ratio:.3f} of the dense network's{_interval(measured)}: "
            f"{measured.new:.3g} ms of {measured.base:.3g} ms, {100 * off:+.1f} % from the target{missed} "
            f"({self.place}, {self.place.runtime} {measured.version}, {measured.processor})"
        )

    def to_json(self) -> dict[str, Any]:
        """The report as JSON types."""
        found = asdict(self)
        del found["place"]["devices_file"]
        return found | {"measured": asdict(self.measured) if self.measured else None, "met": self.is_met}


@dataclass(frozen=True)
class LatencyOptions:
    """Where a latency is to be met, and what is known of that place: a calibrated model, a staircase."""

    threads: int = 1
    device: str = "here"
    devices_file: Path | None = None
    latency_model: Path | None = None
    staircase: Path | None = None
    seconds: float = SECONDS

    def place(self, runtime: str) -> Place:
        """The place where ``runtime`` is meant."""
        return Place(runtime, self.threads, self.device, self.devices_file)


@dataclass
class Search:
    """Corrects the latency that is asked of the prediction until the one measured is the one wanted."""

    dense: Program
    target: Target
    place: Place
    model: CostModel
    choose: Choose
    reporter: Reporter
    seconds: float = SECONDS
    rounds: list[Round] = field(default_factory=list)
    results: list[PruneResult] = field(default_factory=list)

    def predicted(self) -> tuple[PruneResult, LatencyReport]:
        """Choose for the predicted latency; measure nothing.

        Raises:
            PlanError: the target is below the floor, which is said.
        """
        target = self.target.of_dense(self._bound.dense)
        result = self._possible(target)
        share = self._share(result.plan)
        return result, LatencyReport(str(target), target.share, share, self.place, self._bound.dense)

    def settled(self) -> tuple[PruneResult, LatencyReport]:
        """Choose, export, measure and correct. Returns the result whose measured latency is nearest to the target.

        Raises:
            PlanError: the target is below the floor, which is said before anything is measured but the dense network
                for a target in milliseconds.
            CompressError: a file could not be written or measured.
        """
        with tempfile.TemporaryDirectory(prefix="compress-latency-") as work:
            if self.target.milliseconds is None:
                target = self.target
                result = self._possible(target)
                base = self._dense_file(work)
            else:
                base = self._dense_file(work)
                target = self.target.of_dense(self._dense_time(base))
                result = self._possible(target)
            self._correct(result, target, base, work)
        nearest = min(range(len(self.rounds)), key=lambda at: abs(self.rounds[at].off(target.share)))
        taken = self.rounds[nearest]
        report = LatencyReport(
            str(target), target.share, taken.predicted, self.place, taken.measured.base, tuple(self.rounds), nearest
        )
        return self.results[nearest], report

    def _correct(self, result: PruneResult, target: Target, base: Path, work: str) -> None:
        """Measure rounds, each asked for what the ones before say, until one is near enough."""
        asked = target.share
        while True:
            self._measure(result, asked, base, work, target)
            if abs(self.rounds[-1].off(target.share)) <= _AIM or len(self.rounds) == ROUNDS:
                return
            asked = corrected(self.rounds, target.share)
            result = self.choose(replace(target, share=asked))
            if any(result.plan.groups == known.plan.groups for known in self.results):
                self.reporter.say(f"latency: asking for {asked:.3f} chooses widths that were measured already")
                return

    def _possible(self, target: Target) -> PruneResult:
        result = self.choose(target)
        _require_possible(result, target)
        return result

    def _dense_file(self, work: str) -> Path:
        return _exported(
            self.dense, Path(work) / "dense.onnx", "latency: writing ONNX of the dense network", self.reporter
        )

    def _measure(self, result: PruneResult, asked: float, base: Path, work: str, target: Target) -> None:
        number = len(self.rounds) + 1
        words = f"latency, round {number}: writing ONNX"
        new = _exported(result.program, Path(work) / f"round{number}.onnx", words, self.reporter)
        with self.reporter.step(f"latency, round {number}: measuring in {self.place}") as doing:
            found = paired(
                base, new, self.place, self.seconds, lambda share, what: doing(f"{what}, {100 * share:.0f} %"), number
            )
        self.rounds.append(Round(asked, self._share(result.plan), found))
        self.results.append(result)
        last = self.rounds[-1]
        self.reporter.say(
            f"latency, round {number}: asked for {asked:.3f}, predicted {last.predicted:.3f}, "
            f"measured {found.ratio:.3f}{_interval(found)}, {100 * last.off(target.share):+.1f} % from {target}"
        )

    def _dense_time(self, base: Path) -> float:
        with self.reporter.step(f"measuring the dense network in {self.place}") as doing:
            (profile,) = self.place.profiles([base], self.seconds / 2, lambda share, what: doing(what))
        self.reporter.say(f"the dense network takes {profile.p50.value:.3g} ms in {self.place}")
        return profile.p50.value

    def _share(self, plan: Plan) -> float:
        return float(self._bound.milliseconds(widths_of(plan, self._analysis))[0]) / self._bound.dense

    @cached_property
    def _analysis(self) -> Analysis:
        from compress.axes.analysis import analyse

        return analyse(self.dense)

    @cached_property
    def _bound(self) -> BoundModel:
        return self.model.bind(self._analysis)


def corrected(rounds: Sequence[Round], wanted: float) -> float:
    """What to ask of the prediction next.

    Between the nearest rounds above and below where there are both; else from the last, as the measured latency went
    with the predicted one in the last two rounds (on logarithmic scales), in proportion after the first.
    """
    below = [one for one in rounds if one.measured.ratio <= wanted]
    above = [one for one in rounds if one.measured.ratio > wanted]
    if not below or not above:
        last = rounds[-1]
        return min(last.predicted * (wanted / last.measured.ratio) ** (1 / _slope(rounds)), 1.0)
    low = max(below, key=lambda one: one.measured.ratio)
    high = min(above, key=lambda one: one.measured.ratio)
    way = (wanted - low.measured.ratio) / (high.measured.ratio - low.measured.ratio)
    return low.predicted + way * (high.predicted - low.predicted)


def _slope(rounds: Sequence[Round]) -> float:
    """How the measured latency goes with the predicted one, of which noise must not make too much."""
    if len(rounds) < 2 or rounds[-1].predicted == rounds[-2].predicted:
        return 1.0
    before, last = rounds[-2:]
    found = math.log(last.measured.ratio / before.measured.ratio) / math.log(last.predicted / before.predicted)
    return min(max(found, _SLOPES[0]), _SLOPES[1])


def widths_of(plan: Plan, analysis: Analysis) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The widths that ``plan`` leaves of the prunable groups of ``analysis``, as one row."""
    import numpy as np

    widths = [
        len(plan.groups[group.name].keep) if group.name in plan.groups else group.width for group in analysis.prunable
    ]
    return np.array([widths], np.int64)


def asked_for(result: PruneResult, targets: Sequence[str], report: LatencyReport) -> PruneResult:
    """The result with the targets that the user gave, instead of those that a round gave to the prediction."""
    settings = {**result.plan.settings, "target": ",".join(targets), "latency": report.to_json()}
    plan = replace(result.plan, settings=settings)
    return replace(result, plan=plan, report=replace(result.report, requested=", ".join(targets)))


def _require_possible(result: PruneResult, target: Target) -> None:
    for shortfall in result.report.shortfalls:
        if shortfall.measure == target.measure and shortfall.obstacle == "floor":
            raise PlanError(
                f"target {target} cannot be met: as predicted, {shortfall}",
                hint="ask for more, lower --min-keep, or take smaller steps with --granularity",
            )


def _exported(program: Program, path: Path, text: str, reporter: Reporter) -> Path:
    import exporters

    with reporter.step(text):
        exporters.to_onnx(program, path)
    return path


def _interval(found: Paired) -> str:
    if found.low is None or found.high is None:
        return " (too few pairs for an interval)"
    return f" ({found.low:.3f} to {found.high:.3f}, {100 * found.confidence:g} %, {found.pairs} pairs)"
