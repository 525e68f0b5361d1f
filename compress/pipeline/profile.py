"""The profile job: measure files in one or several runtimes, optionally as a report."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from compress.files import check_writable

if TYPE_CHECKING:
    from deploy import Profile


class Gauge(Protocol):
    """Shows how far a measurement is."""

    def bar(self, text: str) -> contextlib.AbstractContextManager[Callable[[float, str], None]]:
        """Open a bar; the value is called with the share done and what is being done."""
        ...


@dataclass(frozen=True)
class ProfileRequest:
    """Everything that the profile job needs to know; see :func:`deploy.profile`."""

    files: tuple[Path, ...]
    runtimes: tuple[str, ...] = ("onnxruntime-cpu",)
    seconds: float = 3.0
    threads: int = 1
    batch: int = 1
    sizes: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    outputs: tuple[Path, ...] = ()
    force: bool = False


def run(request: ProfileRequest, gauge: Gauge) -> list[Profile]:
    """Measure and write the reports asked for. Raises :class:`compress.errors.CompressError`."""
    import deploy

    for path in request.outputs:
        check_writable(path, overwrite=request.force)
    profiles: list[Profile] = []
    for runtime in request.runtimes:
        with gauge.bar(f"measuring in {runtime}") as progress:
            profiles += deploy.profile(
                request.files,
                runtime=runtime,
                threads=request.threads,
                batch=request.batch,
                sizes=request.sizes,
                seconds=request.seconds,
                seed=request.seed,
                progress=progress,
            )
    if request.outputs:
        from compress.pipeline.report import from_profiles, write

        write(from_profiles(profiles), request.outputs, overwrite=request.force)
    return profiles
