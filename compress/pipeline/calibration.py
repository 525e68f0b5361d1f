"""The calibration job: measure configurations of a network where it will run, and fit a latency model to them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from compress.errors import InputError
from compress.files import check_writable
from compress.pipeline.calibration_bench import Conditions
from compress.pipeline.calibration_job import Job
from compress.pipeline.calibration_outcome import Outcome, conclude
from compress.pipeline.finetuning import run_folder
from compress.pipeline.loading import Loading, create_program, is_reference, open_program, require_file
from compress.pipeline.report import Screen

if TYPE_CHECKING:
    from compress import Program

SUFFIX = ".latency.json"
STATE_NAME = "calibration.json"
_FEWEST = 12


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        configurations: fitted to; ``held_out``: only predicted.
        step: channels that widths are multiples of.
        lowest_width, lowest_density: shares kept at least.
        sparse: zeros in the weights, too, in the pattern 4x1.
        seed: draws configurations, weights and orders.
    """

    configurations: int = 48
    held_out: int = 16
    step: int = 4
    lowest_width: float = 0.1
    lowest_density: float = 0.1
    sparse: bool = False
    seed: int = 0

    def check(self) -> None:
        """Raise :class:`InputError` where the numbers make no calibration."""
        if self.configurations < _FEWEST or self.held_out < 2:
            raise InputError(
                f"{self.configurations} configurations and {self.held_out} held out make no calibration",
                hint=f"give at least {_FEWEST} and 2",
            )
        if self.sparse and self.step % 4:
            raise InputError(f"--step {self.step} does not go with --sparse", hint="blocks have 4 channels: --step 4")


@dataclass(frozen=True)
class CalibrationRequest:
    """Everything that the job needs to know. ``update`` is a latency model that the result adds to."""

    model: Path
    plan: Plan = field(default_factory=Plan)
    conditions: Conditions = field(default_factory=Conditions)
    loading: Loading = field(default_factory=Loading)
    output: Path | None = None
    update: Path | None = None
    force: bool = False
    restart: bool = False

    @property
    def name(self) -> str:
        """What the network is called."""
        return str(self.model) if is_reference(str(self.model)) else self.model.name

    @property
    def destination(self) -> Path:
        """The file to write."""
        if self.output or self.update:
            return self.output or self.update  # type: ignore[return-value]
        stem = self.name.replace(":", "-").partition("?")[0] if is_reference(str(self.model)) else self.model.stem
        return Path(f"{stem}{SUFFIX}") if is_reference(str(self.model)) else self.model.with_name(f"{stem}{SUFFIX}")

    @property
    def state(self) -> Path:
        """Where the measurements so far are kept."""
        return run_folder(self.destination) / STATE_NAME

    def check(self) -> None:
        """Fail before any work starts where the request cannot succeed. Raises :class:`CompressError`."""
        if not is_reference(str(self.model)):
            require_file(self.model)
        self.plan.check()
        if self.update is None or self.output is not None:
            check_writable(self.destination, overwrite=self.force)

    def how_to_resume(self) -> str:
        """Return what Ctrl-C should say."""
        return f"run the same command again to go on (measurements in {self.state.parent})"


def run(request: CalibrationRequest, screen: Screen) -> Outcome:
    """Do the whole job. Raises :class:`compress.errors.CompressError`; only the measurements are written then."""
    from compress.axes.analysis import analyse
    from compress.axes.randomise import randomised
    from compress.latency import LatencyModel

    request.check()
    base = LatencyModel.load(request.update) if request.update else None
    program = _open(request, screen)
    analysis = analyse(randomised(program, request.plan.seed))
    if not analysis.prunable:
        raise InputError("has no width that could change", where=request.name, hint="compress inspect says why")
    job = Job(request, program, analysis, base, screen)
    with tempfile.TemporaryDirectory(prefix="compress-calibrate-") as folder:
        job.measure(Path(folder))
    with screen.step("fitting"):
        outcome = conclude(job, analysis, request.name, request.destination, base)
    outcome.model.save(request.destination)
    job.state.forget()
    return outcome


def _open(request: CalibrationRequest, screen: Screen) -> Program:
    if is_reference(str(request.model)):
        return create_program(str(request.model), request.loading, request.plan.seed, screen)
    return open_program(request.model, request.loading, screen)
