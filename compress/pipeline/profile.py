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


class Gauges(Protocol):
    """Shows how far several measurements are that run at the same time."""

    def bars(self, texts: Sequence[str]) -> contextlib.AbstractContextManager[list[Callable[[float, str], None]]]:
        """Open bars; the values are called with the share done and what is being done."""
        ...


@dataclass(frozen=True)
class ProfileRequest:
    """Everything that the profile job needs to know; see :func:`deploy.measure`.

    ``devices`` are names of ``devices_file``, addresses, ``all`` or ``here``; without any it is here. Of ``runtimes``
    and ``threads``, what is not given is what the device's entry says. Where nobody names runtimes, every file is
    measured in the one that it was made for: an engine in the TensorRT that compiled it, any other in ONNX Runtime on
    the CPU.
    """

    files: tuple[Path, ...]
    runtimes: tuple[str, ...] = ()
    seconds: float = 3.0
    threads: tuple[int, ...] = ()
    batches: tuple[int, ...] = (1,)
    sizes: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    operators: bool = False
    timeout: float = 120.0
    devices: tuple[str, ...] = ()
    devices_file: Path | None = None
    outputs: tuple[Path, ...] = ()
    force: bool = False


def run(request: ProfileRequest, screen: Gauges) -> Measured:
    """Measure; what failed is in the result. Raises :class:`CompressError`, for unwritable outputs, too, at once."""
    from deploy.devices import fleet, inventory

    for path in request.outputs:
        check_writable(path, overwrite=request.force)
    targets = inventory.targets(request.devices or (inventory.HERE,), request.devices_file)
    wish = fleet.Wish(
        request.files,
        request.runtimes,
        request.threads,
        request.batches,
        _usual_runtime,
        {
            "sizes": request.sizes,
            "seconds": request.seconds,
            "seed": request.seed,
            "operators": request.operators,
            "timeout": request.timeout,
        },
    )
    names = [target.name for target in targets]
    with screen.bars([f"measuring on {name}" for name in names] if request.devices else ["measuring"]) as gauges:
        return fleet.measure_on(targets, wish, dict(zip(names, gauges, strict=True)))


def write_reports(measured: Measured, outputs: Sequence[Path], *, force: bool) -> None:
    """Write the reports asked for: what was measured, and what failed."""
    from compress.pipeline.report import from_profiles, write

    write(from_profiles(measured.profiles, measured.failures), outputs, overwrite=force)


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
