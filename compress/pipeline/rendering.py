"""Reports that were written earlier, as one and in another form: nothing is measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compress.files import check_writable
from compress.pipeline.report import write

if TYPE_CHECKING:
    from deploy.report import Report


@dataclass(frozen=True)
class RenderRequest:
    """Reports as JSON, which become one, and the files to write; the page beside the first unless given."""

    reports: tuple[Path, ...]
    title: str | None = None
    outputs: tuple[Path, ...] = ()
    force: bool = False

    @property
    def destinations(self) -> tuple[Path, ...]:
        """The files to write."""
        return self.outputs or (self.reports[0].with_suffix(".html"),)


def run(request: RenderRequest) -> Report:
    """Read, check, put together and write. Raises :class:`compress.errors.InputError` before anything is written."""
    from deploy.report import merged, read_json

    for path in request.destinations:
        check_writable(path, overwrite=request.force)
    report = merged([read_json(path) for path in request.reports])
    if request.title is not None:
        report.title = request.title
    write(report, request.destinations, overwrite=request.force)
    return report
