"""Files in the runtimes of another device: whether they load and run there, through what measures there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from deploy.compatibility.records import Cell, Outcome
from deploy.compatibility.subject import Subject
from deploy.devices.base import Device
from deploy.measuring import Measured, measure
from deploy.records import Failure, Profile
from deploy.runner.protocol import Answer
from deploy.timing import Progress

_SECONDS = 0.05  # of measuring: that it runs at all is what is asked
_NOT_COMPARED = "it was run there, and its outputs were not fetched: error and placement of nodes unknown"


class Elsewhere:
    """One device that is not this machine, and what it said of itself."""

    def __init__(self, device: Device, said: Answer) -> None:
        self._device = device
        self._absent = said.runtimes
        self._place = f"{device.name}: {said.machine.get('processor') or 'unknown processor'}"

    @property
    def name(self) -> str:
        """What the device is called."""
        return self._device.name

    def cells(
        self,
        subject: Subject,
        runtimes: Mapping[str, str | None],
        *,
        threads: int,
        sizes: Mapping[str, int],
        seed: int,
        timeout: float,
        progress: Progress,
    ) -> Iterator[Cell]:
        """Yield a cell for each of ``runtimes``; those that the device has are tried there.

        Raises:
            InputError: the file cannot be read any more.
        """
        there = [name for name in runtimes if self._absent.get(name, "") is None]
        own = sizes if subject.inputs is None else subject.inputs.own(sizes)
        batch = 1 if subject.inputs is None else subject.inputs.batch
        measured = Measured()
        if there:
            measured = measure(
                [subject.path],
                runtimes=there,
                threads=[threads],
                batches=[batch],
                sizes=own,
                seconds=_SECONDS,
                seed=seed,
                timeout=timeout,
                device=self._device,
                progress=progress,
            )
        ran = {profile.conditions.runtime: profile for profile in measured.profiles}
        failed = {failure.runtime: failure for failure in measured.failures}
        for name in runtimes:
            cell = Cell(file=subject.label, runtime=name, device=self._place, outcome="not tested here")
            if name in ran:
                self._ran(cell, ran[name])
            elif name in failed:
                self._failed(cell, failed[name])
            else:
                cell.reason = self._absent.get(name) or "the device does not know this runtime"
            yield cell

    def _ran(self, cell: Cell, profile: Profile) -> None:
        cell.outcome, cell.measured, cell.version = "runs", True, profile.conditions.version
        cell.device = f"{self.name}: {profile.conditions.device}"
        cell.reason = _NOT_COMPARED

    def _failed(self, cell: Cell, failure: Failure) -> None:
        cell.reason = f"{failure.reason}; {failure.hint}" if failure.hint else failure.reason
        if failure.kind in ("refused", "crashed", "hung"):
            cell.outcome, cell.measured = cast(Outcome, failure.kind), True
