"""The profile job: measure files under one or several sets of conditions, optionally as a report."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from compress.errors import InputError
from compress.files import check_writable

if TYPE_CHECKING:
    from deploy import Measured

_ONNX = "onnxruntime-cpu"


class Gauge(Protocol):
    """Shows how far a measurement is."""

    def bar(self, text: str) -> contextlib.AbstractContextManager[Callable[[float, str], None]]:
        """Open a bar; the value is called with the share done and what is being done."""
        ...


@dataclass(frozen=True)
class ProfileRequest:
    """Everything that the profile job needs to know; see :func:`deploy.measure`.

    Without ``runtimes`` every file is measured in the one that it was made for: an engine in the TensorRT that
    compiled it, any other in ONNX Runtime on the CPU.
    """

    files: tuple[Path, ...]
    runtimes: tuple[str, ...] = ()
    seconds: float = 3.0
    threads: tuple[int, ...] = (1,)
    batches: tuple[int, ...] = (1,)
    sizes: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    operators: bool = False
    timeout: float = 120.0
    outputs: tuple[Path, ...] = ()
    force: bool = False


def run(request: ProfileRequest, gauge: Gauge) -> Measured:
    """Measure; what failed is in the result. Raises :class:`CompressError`, for unwritable outputs, too, at once."""
    import deploy

    for path in request.outputs:
        check_writable(path, overwrite=request.force)
    measured = deploy.Measured()
    for runtimes, files in _jobs(request).items():
        with gauge.bar(f"measuring in {', '.join(runtimes)}") as progress:
            found = deploy.measure(
                files,
                runtimes=runtimes,
                threads=request.threads,
                batches=request.batches,
                sizes=request.sizes,
                seconds=request.seconds,
                seed=request.seed,
                operators=request.operators,
                timeout=request.timeout,
                progress=progress,
            )
        measured.profiles += found.profiles
        measured.failures += found.failures
    return measured


def write_reports(measured: Measured, outputs: Sequence[Path], *, force: bool) -> None:
    """Write the reports asked for: what was measured, and what failed."""
    from compress.pipeline.report import from_profiles, write

    write(from_profiles(measured.profiles, measured.failures), outputs, overwrite=force)


def _jobs(request: ProfileRequest) -> dict[tuple[str, ...], list[Path]]:
    """Which files are measured in which runtimes, together."""
    if request.runtimes:
        return {request.runtimes: list(request.files)}
    jobs: dict[tuple[str, ...], list[Path]] = {}
    for file in request.files:
        jobs.setdefault((_usual_runtime(file),), []).append(file)
    return jobs


def _usual_runtime(file: Path) -> str:
    from deploy import enginefile

    if file.suffix.lower() not in enginefile.SUFFIXES or not file.is_file():
        return _ONNX
    runtime = enginefile.runtime_of(file)
    if runtime is None:
        raise InputError(
            "has no record beside it that says which TensorRT compiled it",
            where=str(file),
            hint="name the runtime: --runtime tensorrt or --runtime tensorrt-rtx",
        )
    return runtime
