"""Measure deployment files on a device: whatever one file does, the figures of the others are had."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from compress.errors import InputError
from deploy.devices.base import Device, DisconnectedError
from deploy.modelfile import identify
from deploy.profiles import to_profile
from deploy.records import Failure, ModelFile, Profile
from deploy.runner import measuring, protocol
from deploy.runner.protocol import Answer, Figures, MeasureRequest, Mishap
from deploy.timing import Progress, silent

AnyPath = str | os.PathLike[str]
TIMEOUT = 120.0


@dataclass
class Measured:
    """What was measured, and what could not be. Profiles come by conditions, then in the order of the files."""

    profiles: list[Profile] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def measure(
    files: Sequence[AnyPath],
    *,
    runtimes: Sequence[str] = ("onnxruntime-cpu",),
    threads: Sequence[int] = (1,),
    batches: Sequence[int] = (1,),
    sizes: Mapping[str, int] | None = None,
    seconds: float = 3.0,
    seed: int = 0,
    operators: bool = False,
    timeout: float = TIMEOUT,
    device: Device | str = "here",
    keep_going: bool = True,
    progress: Progress = silent,
) -> Measured:
    """Measure ``files`` in every runtime, at every number of threads and every batch, interleaved within each of them.

    Args:
        runtimes: names from :func:`deploy.runtimes.names`.
        threads: numbers of threads within an operator.
        batches: sizes of the dynamic first dimension of every input.
        sizes: sizes of other dynamic dimensions, by name or ``"input:axis"``.
        seconds: measuring time per file and set of conditions, after a warm-up that takes at most as long again.
        seed: draws inputs and the order of measurement.
        operators: time every operator, too, in a run of its own.
        timeout: seconds without a sign of life after which a runtime is taken to hang.
        device: where to measure: ``here``, ``ssh://user@host``, a name of ``devices.yaml``, or a device.
        keep_going: measure the others when a file fails; otherwise the first failure is the last.
        progress: called with the share done (0 to 1) and what is being done.

    Returns:
        The profiles, times in milliseconds, and a failure for each file under each set of conditions that has none.

    Raises:
        InputError: a file does not exist, a runtime is unknown, or an argument makes no sense.
        UnavailableError: the device cannot be reached.
    """
    request = MeasureRequest(
        files=[os.fspath(path) for path in files],
        runtimes=tuple(runtimes),
        threads=tuple(threads),
        batches=tuple(batches),
        sizes=dict(sizes or {}),
        seconds=seconds,
        seed=seed,
        operators=operators,
        timeout=timeout,
        keep_going=keep_going,
    )
    measuring.check(request)
    for path in request.files:
        if not Path(path).exists():
            raise InputError("does not exist", where=path, hint="check the path")
    return _Job(request, _device(device), progress).run()


def labels(paths: Sequence[AnyPath]) -> list[str]:
    """Return what files are called in reports: their names, with as many folders as it takes to tell them apart."""
    places = [Path(os.path.abspath(path)).parts for path in paths]
    names: list[str] = []
    for place in places:
        others = [other for other in places if other != place]
        length = next(n for n in range(1, len(place) + 1) if all(other[-n:] != place[-n:] for other in others))
        names.append("/".join(place[-length:]))
    return names


def _device(chosen: Device | str) -> Device:
    if isinstance(chosen, Device):
        return chosen
    from deploy.devices import inventory

    if chosen == inventory.ALL:
        raise InputError("all devices were asked for", hint="deploy.devices.fleet.measure_on measures on several")
    (target,) = inventory.targets([chosen])
    return target.device


class _Job:
    def __init__(self, request: MeasureRequest, device: Device, progress: Progress) -> None:
        self._request = request
        self._device = device
        self._progress = progress
        self._measured = Measured()

    def run(self) -> Measured:
        known: list[tuple[str, ModelFile]] = []
        for path, name in zip(self._request.files, labels(self._request.files), strict=True):
            try:
                known.append((path, identify(path).model_copy(update={"name": name})))
            except InputError as error:
                self._refuse(path, name, error)
        if known and (self._request.keep_going or not self._measured.failures):
            self._ask([path for path, _ in known], [file for _, file in known])
        return self._measured

    def _ask(self, paths: Sequence[str], files: Sequence[ModelFile]) -> None:
        try:
            answer = self._device.measure(dataclasses.replace(self._request, files=paths), self._progress)
        except DisconnectedError as error:
            self._take(error.answer, files)
            self._lose(error.answer, files, error)
        else:
            self._take(answer, files)

    def _take(self, answer: Answer, files: Sequence[ModelFile]) -> None:
        name = self._device.name
        self._measured.profiles += [
            to_profile(figures, files[figures.file], seed=self._request.seed, target=name) for figures in answer.figures
        ]
        for told in answer.mishaps:
            self._fail(files[told.file].name, told.conditions, told.kind, told.reason, told.hint)

    def _lose(self, answer: Answer, files: Sequence[ModelFile], error: DisconnectedError) -> None:
        """Put down as failed what the device had not come to."""
        told: list[Figures | Mishap] = [*answer.figures, *answer.mishaps]
        had = {(entry.file, entry.conditions) for entry in told}
        for conditions in measuring.all_conditions(self._request):
            for index, file in enumerate(files):
                if (index, conditions) not in had:
                    self._fail(file.name, conditions, error.kind, error.what, error.hint)

    def _refuse(self, path: str, name: str, error: InputError) -> None:
        for conditions in measuring.all_conditions(self._request):
            self._fail(name, conditions, "refused", protocol.said(error, path), error.hint)

    def _fail(self, name: str, under: protocol.Conditions, kind: str, reason: str, hint: str | None) -> None:
        told = {"file": name, "kind": kind, "reason": reason, "hint": hint, "target": self._device.name}
        self._measured.failures.append(Failure.model_validate(told | dataclasses.asdict(under)))
