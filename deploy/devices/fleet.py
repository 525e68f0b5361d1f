"""Several devices at once: each is measured in a thread of its own, and what one does harms no other."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from compress.errors import UnavailableError
from deploy.devices.inventory import Target
from deploy.measuring import Measured, measure
from deploy.records import Failure
from deploy.runner.measuring import all_conditions
from deploy.runner.protocol import MeasureRequest
from deploy.timing import Progress, silent

Gauges = Mapping[str, Progress]
AnyPath = str | os.PathLike[str]

_RUNTIMES = ("onnxruntime-cpu",)
_THREADS = (1,)


def measure_on(
    targets: Sequence[Target],
    files: Sequence[AnyPath],
    *,
    runtimes: Sequence[str] = (),
    threads: Sequence[int] = (),
    batches: Sequence[int] = (1,),
    gauges: Gauges | None = None,
    **options: Any,
) -> Measured:
    """Measure ``files`` on every target at the same time; a device that cannot be had is a failure among the others.

    Args:
        runtimes: what to measure in; where empty, what the target's entry says, or ONNX Runtime on the CPU.
        threads: numbers of threads; where empty, what the target's entry says, or one.
        batches: sizes of the dynamic first dimension of every input.
        gauges: by the target's name, called with the share done (0 to 1) and what is being done there.
        options: as of :func:`deploy.measuring.measure`.

    Returns:
        The profiles and failures of all, device by device.

    Raises:
        InputError: a file does not exist, a runtime is unknown, or an argument makes no sense.
        UnavailableError: no device could be reached; the message is that of the first.
    """
    shown = gauges or {}

    def asked(target: Target) -> dict[str, Any]:
        return {
            "runtimes": tuple(runtimes) or target.runtimes or _RUNTIMES,
            "threads": tuple(threads) or target.threads or _THREADS,
        }

    def job(target: Target) -> Measured:
        progress = shown.get(target.name, silent)
        return measure(files, device=target.device, progress=progress, batches=batches, **asked(target), **options)

    done = _each(targets, job)
    lost = [outcome for outcome in done if isinstance(outcome, UnavailableError)]
    if lost and len(lost) == len(done):
        raise lost[0]
    together = Measured()
    for target, outcome in zip(targets, done, strict=True):
        if isinstance(outcome, UnavailableError):
            request = MeasureRequest([os.fspath(path) for path in files], **asked(target), batches=batches)
            together.failures += _failures(target, request, outcome)
        else:
            together.profiles += outcome.profiles
            together.failures += outcome.failures
    return together


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


def _each(targets: Sequence[Target], job: Callable[[Target], Measured]) -> list[Measured | UnavailableError]:
    """Run ``job`` for all at once; whatever else it raises, and Ctrl-C, ends the others first."""
    with concurrent.futures.ThreadPoolExecutor(max(1, len(targets))) as pool, _stopping(targets):
        futures = [pool.submit(job, target) for target in targets]
        return [_outcome(future) for future in futures]


def _outcome(future: concurrent.futures.Future[Measured]) -> Measured | UnavailableError:
    try:
        return future.result()
    except UnavailableError as error:
        return error


@contextlib.contextmanager
def _stopping(targets: Sequence[Target]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for target in targets:
            target.device.stop()
        raise
