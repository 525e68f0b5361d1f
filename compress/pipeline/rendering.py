"""A report that was written earlier, in another form: nothing is measured."""

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
    """A report's JSON, and the files to write; the page beside it unless given."""

    report: Path
    title: str | None = None
    outputs: tuple[Path, ...] = ()
    force: bool = False

    @property
    def destinations(self) -> tuple[Path, ...]:
        """The files to write."""
        return self.outputs or (self.report.with_suffix(".html"),)


def run(request: RenderRequest) -> Report:
    """Read, check and write the report. Raises :class:`compress.errors.InputError` before anything is written."""
    from deploy.report import read_json

    for path in request.destinations:
        check_writable(path, overwrite=request.force)
    report = read_json(request.report)
    if request.title is not None:
        report.title = request.title
    write(report, request.destinations, overwrite=request.force)
    return report
