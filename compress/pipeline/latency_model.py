"""The latency model that a target in latency is predicted with: a file, or calibrated for the network first."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from compress.errors import InputError
from compress.pipeline.loading import Loading
from compress.pipeline.place import Place
from compress.pipeline.reporter import Reporter

if TYPE_CHECKING:
    from compress.latency import LatencyModel

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
    checkpoint: Path,
    loading: Loading,
    place: Place,
    *,
    beside: Path,
    fingerprint: str,
    granularity: int | None,
    lowest: float,
    reporter: Reporter,
) -> LatencyModel:
    """Calibrate for the network in ``checkpoint``, or take what was calibrated for it before.

    Args:
        beside: a file; the latency model lies beside it, named after it and the runtime.
        fingerprint: the network's, by which a file is known to be for it.
        granularity: widths that are asked for are multiples of it; None for those that pay.
        lowest: share of a width that is left at least.

    Raises:
        CompressError: the network cannot be calibrated.
    """
    from compress.pipeline.calibration import CalibrationRequest, Plan, run
    from compress.pipeline.calibration_bench import Conditions

    file = beside.with_name(f"{beside.stem}.{place.runtime}.{place.threads}t{SUFFIX}")
    if file.exists():
        known = load(file, place, granularity)
        if any(network.fingerprint == fingerprint for network in known.networks):
            reporter.say(f"predicting with {file}, calibrated before (delete it to calibrate again)")
            return known
    reporter.say(f"calibrating for {place} first, into {file}: --latency-model takes what is calibrated already")
    conditions = Conditions(place.runtime, place.device, place.threads, devices_file=place.devices_file)
    plan = Plan(step=min(granularity or _STEP, _STEP), lowest_width=max(lowest, _LOWEST))
    request = CalibrationRequest(checkpoint, plan, conditions, loading, output=file, force=True)
    told = run(request, _Screen(reporter)).model.held_out
    reporter.say(
        f"calibrated: {100 * told.error:.1f} % median error on {told.configurations} configurations not fitted to"
    )
    return load(file, place, granularity)


class _Screen:
    """Shows bars as what a step does now."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self.say, self.step, self.timed = reporter.say, reporter.step, reporter.timed

    @contextlib.contextmanager
    def bar(self, text: str) -> Iterator[Callable[[float, str], None]]:
        with self._reporter.step(text) as doing:
            yield lambda share, what: doing(f"{100 * share:.0f} %, {what}")
