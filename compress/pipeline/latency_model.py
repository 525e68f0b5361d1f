"""The latency model that a target in latency is predicted with: a file, or calibrated for the network first."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from compress.errors import InputError
from compress.pipeline.loading import Loading
from compress.pipeline.place import Place
from compress.pipeline.report import Screen
from compress.pipeline.reporter import Reporter

if TYPE_CHECKING:
    from compress.latency import LatencyModel
    from compress.pipeline.calibration import Plan

SUFFIX = ".latency.json"
_STEP = 4  # channels: widths between are slow on most runtimes
_LOWEST = 1e-3  # of a width, where any may be left


def load(file: Path, place: Place, granularity: int | None = None) -> LatencyModel:
    """Read a latency model.

    Raises:
        InputError: it is missing or damaged, of another runtime or number of threads, or was calibrated in coarser
            steps than ``granularity``.
    """
    from compress.latency import LatencyModel

    model = LatencyModel.load(file)
    model.require(runtime=place.runtime, threads=place.threads, where=str(file))
    if granularity is not None and granularity < model.step:
        raise InputError(
            f"was calibrated in steps of {model.step} channels, and --granularity {granularity} goes between",
            where=str(file),
            hint=f"give --granularity {model.step}, or calibrate with --step {granularity}",
        )
    return model


def calibrated(
    checkpoint: Path, loading: Loading, place: Place, plan: Plan, *, file: Path, fingerprint: str, screen: Screen
) -> LatencyModel:
    """Calibrate for the network in ``checkpoint``, or take what was calibrated for it before.

    Args:
        plan: what is to be predicted: the steps and the least of widths, and whether weights may be zeros.
        file: where the latency model is, or will be.
        fingerprint: the network's, by which a file is known to be for it.

    Raises:
        CompressError: the network cannot be calibrated.
    """
    from compress.pipeline.calibration import CalibrationRequest, run
    from compress.pipeline.calibration_bench import Conditions

    if file.exists():
        known = load(file, place, plan.step)
        if any(network.fingerprint == fingerprint for network in known.networks):
            screen.say(f"predicting with {file}, calibrated before (delete it to calibrate again)")
            return known
    screen.say(f"calibrating for {place} first, into {file}: --latency-model takes what is calibrated already")
    conditions = Conditions(place.runtime, place.device, place.threads, devices_file=place.devices_file)
    told = run(CalibrationRequest(checkpoint, plan, conditions, loading, output=file, force=True), screen)
    held_out = told.model.held_out
    screen.say(
        f"calibrated: {100 * held_out.error:.1f} % median error on {held_out.configurations} configurations "
        "not fitted to"
    )
    return load(file, place, plan.step)


def plan_for(granularity: int | None, lowest: float) -> Plan:
    """What is calibrated for widths in multiples of ``granularity`` (None: those that pay), of which a share of
    ``lowest`` is left at least.
    """
    from compress.pipeline.calibration import Plan

    return Plan(step=min(granularity or _STEP, _STEP), lowest_width=max(lowest, _LOWEST))


class BarsAsSteps:
    """A reporter that shows bars as what a step does now."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self.say, self.step, self.timed = reporter.say, reporter.step, reporter.timed

    @contextlib.contextmanager
    def bar(self, text: str) -> Iterator[Callable[[float, str], None]]:
        with self._reporter.step(text) as doing:
            yield lambda share, what: doing(f"{100 * share:.0f} %, {what}")
