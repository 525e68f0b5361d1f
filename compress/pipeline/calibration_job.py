"""How a calibration goes: rounds of configurations to fit to, where the model is least sure, and of those held out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compress.errors import InputError
from compress.pipeline.calibration_bench import Bench, Ratio, Round
from compress.pipeline.calibration_files import Files
from compress.pipeline.calibration_state import State
from compress.pipeline.report import Screen

if TYPE_CHECKING:
    from compress import Program
    from compress.axes.analysis import Analysis
    from compress.latency import LatencyModel
    from compress.latency.measurement import Measurement
    from compress.latency.record import Key
    from compress.latency.space import Choices
    from compress.pipeline.calibration import CalibrationRequest

_ROUND = 8  # configurations beside one dense file
_POOL = 256  # random configurations of which the least sure are measured
_FIRST = 8  # random ones measured before any are chosen
_HELD_OUT_SEED = 1_000_003  # away from those of pools

Progress = Callable[[float, str], None]


class Job:
    """One calibration of one network.

    Args:
        program: as the user gave it, by which the state is known; ``analysis``: of it with random weights.
        base: the latency model that the result adds to.

    Raises:
        InputError: the state is of another calibration, or the network has nothing to calibrate.
    """

    def __init__(
        self,
        request: CalibrationRequest,
        program: Program,
        analysis: Analysis,
        base: LatencyModel | None,
        screen: Screen,
    ) -> None:
        from compress.latency.calibrating import Calibration
        from compress.latency.space import Space

        self._request, self._analysis, self._base, self._screen = request, analysis, base, screen
        self._plan = plan = request.plan
        self.step = plan.step
        self.fingerprint = program.fingerprint()
        if base is not None and base.step != plan.step:
            raise InputError(f"was calibrated in steps of {base.step} channels, not {plan.step}", where="--update")
        self._space = Space(
            analysis,
            step=plan.step,
            lowest_width=plan.lowest_width,
            lowest_density=plan.lowest_density,
            sparse=plan.sparse,
        )
        self.calibration = Calibration(analysis, sparse=plan.sparse, known=base.kinds if base else None)
        self.state = State(request.state, self._identity(), forget=request.restart)
        if self.state.started:
            count = len(self.state.fitted) + len(self.state.held_out)
            screen.say(f"going on after {count} configurations from {request.state.parent} (--restart starts over)")

    @property
    def corners(self) -> set[int]:
        """Which of the configurations fitted to are at the ends of what may be chosen."""
        corners = self._space.corners()
        ends = {corners.key(row) for row in range(len(corners))}
        return {at for at, one in enumerate(self.state.fitted) if one.key in ends}

    def _identity(self) -> dict[str, Any]:
        from compress.latency.record import VERSION

        under = dataclasses.asdict(self._request.conditions)
        return {
            **dataclasses.asdict(self._plan),
            **{name: under[name] for name in ("runtime", "device", "threads", "batch", "seconds")},
            "network": self.fingerprint,
            "version": VERSION,
        }

    def measure(self, folder: Path) -> None:
        """Measure all that is missing; files go to ``folder``."""
        plan, state = self._plan, self.state
        if len(state.fitted) >= plan.configurations and len(state.held_out) >= plan.held_out:
            return
        bench = Bench(self._request.conditions, self.calibration.names)
        layers = list(self.calibration.with_density.values())
        files = Files(self._analysis, layers, folder, self._request.conditions, self._screen)
        whole = plan.configurations + plan.held_out
        with self._screen.bar("calibrating") as progress:

            def passed_on(share: float, text: str) -> None:
                done = len(state.fitted) + len(state.held_out)
                progress(min((done + share * min(_ROUND, whole - done)) / whole, 1.0), text)

            # Taking turns: what is fitted to and what is held out meet the same moods of the device.
            while (missing := plan.configurations - len(state.fitted)) > 0 or len(state.held_out) < plan.held_out:
                if missing > 0 and len(state.fitted) * plan.held_out <= len(state.held_out) * plan.configurations:
                    self._round(bench, files, self._next(missing), passed_on, apart=True)
                else:
                    self._round(bench, files, self._held_out(), passed_on, apart=False)

    def _next(self, missing: int) -> Choices:
        """What to measure and fit to now."""
        from compress.latency.space import joined

        fitted = self.state.fitted
        first = joined(self._space.corners(), self._space.draw(_FIRST, self._plan.seed))
        left = [row for row in range(len(first)) if not self._is_known(first, row)]
        if left:
            return first[left[: min(_ROUND, missing)]]
        self.calibration.fit(self.scaled(fitted))
        pool = self._space.draw(_POOL, self._plan.seed + len(fitted) + len(self.state.failed))
        return pool[self.calibration.next(pool, min(_ROUND, missing))]

    def _held_out(self) -> Choices:
        drawn = self._space.draw(self._plan.held_out, self._plan.seed + _HELD_OUT_SEED)
        left = [row for row in range(len(drawn)) if not self._is_known(drawn, row)]
        if not left:
            raise InputError(
                f"{len(self.state.failed)} configurations could not be measured: {self.state.failed[-1].reason}",
                hint="see whether the runtime can run the network at all: compress profile",
            )
        return drawn[left[:_ROUND]]

    def _is_known(self, choices: Choices, row: int) -> bool:
        wanted = choices.key(row)
        return any(one.key == wanted for one in (*self.state.fitted, *self.state.held_out, *self.state.failed))

    def _round(self, bench: Bench, files: Files, chosen: Choices, progress: Progress, *, apart: bool) -> None:
        paths = []
        for row in range(len(chosen)):
            progress(0.0, f"writing configuration {row + 1} of {len(chosen)}")
            paths.append(files.write(f"configuration-{row}", chosen.widths[row], chosen.densities[row]))
        number = len(self.state.dense)
        found = bench.measure(files.dense, paths, apart=apart, seed=self._plan.seed + number, progress=progress)
        self._take(chosen, found, self.state.fitted if apart else self.state.held_out)

    def _take(self, chosen: Choices, found: Round, into: list[Measurement]) -> None:
        from compress.latency.measurement import Failed, Measurement

        self.state.take(self._key(found), found.milliseconds)
        for row, one in enumerate(found.found):
            widths, densities = chosen.key(row)
            if isinstance(one, Ratio):
                told = {"milliseconds": one.ratio, "noise": one.noise, "shares": dict(one.shares)}
                into.append(Measurement.model_validate({"widths": widths, "densities": densities, **told}))
            else:
                self.state.failed.append(Failed(widths=widths, densities=densities, reason=one))
        self.state.save()
        if not any(isinstance(one, Ratio) for one in found.found):
            raise InputError(
                f"no configuration of a whole round could be measured: {found.found[0]}",
                hint="see whether the runtime can run the network cut: compress prune, export, profile",
            )

    def _key(self, found: Round) -> Key:
        """Under what a round was measured; of a network that adds to a model it must be as before."""
        from compress.latency.record import Key

        under = found.dense.conditions
        key = Key(
            device=under.device,
            runtime=under.runtime,
            version=under.version,
            threads=under.threads,
            precision=under.precision,
            batch=under.batch,
            pattern="4x1" if self._plan.sparse else None,
        )
        if self._base is not None and self._base.key != key:
            raise InputError(
                f"holds for {self._base.key.describe()}, this is {key.describe()}",
                where=str(self._request.update),
                hint="calibrate into a file of its own (-o)",
            )
        return key

    def scaled(self, measurements: Sequence[Measurement]) -> list[Measurement]:
        """Return ``measurements``, whose times are in units of the dense network's, in milliseconds."""
        dense = float(np.median(self.state.dense))
        return [one.model_copy(update={"milliseconds": one.milliseconds * dense}) for one in measurements]
