"""Several devices at once: each is measured in a thread of its own, and what one does harms no other."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from compress.errors import UnavailableError
from deploy.devices.inventory import Target
from deploy.devices.local import LocalDevice
from deploy.measuring import Measured, measure
from deploy.records import Failure
from deploy.runner.measuring import all_conditions
from deploy.runner.protocol import MeasureRequest
from deploy.timing import Progress, silent

AnyPath = str | os.PathLike[str]
Told = TypeVar("Told")


def onnxruntime_cpu(_file: Path) -> str:
    """The runtime that files are measured in where nobody says otherwise."""
    return "onnxruntime-cpu"


@dataclass(frozen=True)
class Wish:
    """What is asked of every device. Empty ``runtimes`` and ``threads`` leave it to the device's entry; where that
    names none, a file is measured in its ``usual`` runtime, with one thread. ``options`` are those of :func:`measure`.
    """

    files: Sequence[AnyPath]
    runtimes: Sequence[str] = ()
    threads: Sequence[int] = ()
    batches: Sequence[int] = (1,)
    usual: Callable[[Path], str] = onnxruntime_cpu
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def requests(self, target: Target) -> list[MeasureRequest]:
        """Return what is measured on ``target``: files that are measured in the same runtimes come together."""
        named = tuple(self.runtimes) or target.runtimes
        jobs: dict[tuple[str, ...], list[str]] = {}
        for file in self.files:
            jobs.setdefault(named or (self.usual(Path(file)),), []).append(os.fspath(file))
        threads = tuple(self.threads) or target.threads or (1,)
        return [MeasureRequest(files, runtimes, threads, tuple(self.batches)) for runtimes, files in jobs.items()]


def measure_on(targets: Sequence[Target], wish: Wish, gauges: Mapping[str, Progress] | None = None) -> Measured:
    """Measure on all devices at the same time, and here when they are done, so that they do not disturb it.

    Several that are one machine (it may have an entry for each of its Pythons) take turns.

    A device that cannot be had is a failure among the others.

    Args:
        gauges: by the target's name, called with the share done (0 to 1) and what is being done there.

    Returns:
        The profiles and failures of all, device by device.

    Raises:
        InputError: a file does not exist, a runtime is unknown, or an argument makes no sense.
        UnavailableError: no device could be reached; the message is that of the first.
    """
    shown = gauges or {}
    away = [target for target in targets if not isinstance(target.device, LocalDevice)]
    turns = {target.device.machine: threading.Lock() for target in targets}
    done: dict[str, Measured | UnavailableError] = {}

    def alone(target: Target) -> Measured:
        with turns[target.device.machine]:
            return _measure(target, wish, shown.get(target.name, silent))

    for several in (away, [target for target in targets if target not in away]):
        outcomes = ask_all(several, alone)
        done.update(zip((target.name for target in several), outcomes, strict=True))
    lost = [outcome for outcome in done.values() if isinstance(outcome, UnavailableError)]
    if lost and len(lost) == len(done):
        raise lost[0]
    together = Measured()
    for target in targets:
        outcome = done[target.name]
        if isinstance(outcome, UnavailableError):
            together.failures += [
                failure for request in wish.requests(target) for failure in _failures(target, request, outcome)
            ]
        else:
            together.profiles += outcome.profiles
            together.failures += outcome.failures
    return together


def _measure(target: Target, wish: Wish, progress: Progress) -> Measured:
    measured, requests = Measured(), wish.requests(target)
    for number, request in enumerate(requests):
        found = measure(
            request.files,
            runtimes=request.runtimes,
            threads=request.threads,
            batches=request.batches,
            device=target.device,
            progress=_part(progress, number, len(requests)),
            **wish.options,
        )
        measured.profiles += found.profiles
        measured.failures += found.failures
    return measured


def _part(progress: Progress, number: int, parts: int) -> Progress:
    return lambda share, text: progress((number + share) / parts, text)


def _failures(target: Target, request: MeasureRequest, error: UnavailableError) -> list[Failure]:
    return [
        Failure(
            file=Path(name).name,
            target=target.name,
            kind="unavailable",
            reason=error.what,
            hint=error.hint,
            **dataclasses.asdict(conditions),
        )
        for conditions in all_conditions(request)
        for name in request.files
    ]


def ask_all(targets: Sequence[Target], job: Callable[[Target], Told]) -> list[Told | UnavailableError]:
    """Return what ``job`` returns for each, asked at the same time, or the error of a device that cannot be had.

    Whatever else it raises, and Ctrl-C, ends the others first.
    """
    with concurrent.futures.ThreadPoolExecutor(max(1, len(targets))) as pool, _stopping(targets):
        futures = [pool.submit(job, target) for target in targets]
        outcomes: list[Told | UnavailableError] = []
        for future in futures:
            try:
                outcomes.append(future.result())
            except UnavailableError as error:
                outcomes.append(error)
        return outcomes


@contextlib.contextmanager
def _stopping(targets: Sequence[Target]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for target in targets:
            target.device.stop()
        raise
