"""The why job: explain the time of one file by another, optionally as a report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from compress.files import check_writable
from compress.pipeline.profile import Gauge

if TYPE_CHECKING:
    from deploy.why import Explanation


@dataclass(frozen=True)
class WhyRequest:
    """Everything that the why job needs to know; see :func:`deploy.why.explain`."""

    base: Path
    new: Path
    runtime: str = "onnxruntime-cpu"
    seconds: float = 20.0
    threads: int = 1
    batch: int = 1
    sizes: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    outputs: tuple[Path, ...] = ()
    force: bool = False


def run(request: WhyRequest, gauge: Gauge) -> Explanation:
    """Explain, and write the reports asked for. Raises :class:`compress.errors.CompressError`."""
    from deploy.why import explain

    for path in request.outputs:
        check_writable(path, overwrite=request.force)
    with gauge.bar("taking both files apart") as progress:
        found = explain(
            request.base,
            request.new,
            runtime=request.runtime,
            threads=request.threads,
            batch=request.batch,
            sizes=request.sizes,
            seconds=request.seconds,
            seed=request.seed,
            progress=progress,
        )
    if request.outputs:
        from compress.pipeline.report import from_explanation, write

        write(from_explanation(found), request.outputs, overwrite=request.force)
    return found
