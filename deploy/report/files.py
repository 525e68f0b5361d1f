"""Write and read reports."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pydantic_core
from pydantic import ValidationError

from compress.errors import InputError
from compress.files import check_writable, write_text
from deploy.report.schema import VERSION, Report
from deploy.report.versions import OLDEST, upgraded

AnyPath = str | os.PathLike[str]


def write_json(report: Report, path: AnyPath, *, overwrite: bool = True) -> None:
    """Write ``report`` as JSON, atomically. Raises :class:`InputError` where ``path`` cannot be written."""
    write_text(path, report.model_dump_json(indent=2) + "\n", overwrite=overwrite)


def read_json(path: AnyPath) -> Report:
    """Read a report that :func:`write_json` wrote, now or in an older version of this tool.

    Raises:
        InputError: the file is missing, not JSON, truncated, not a report, or from a newer version.
    """
    file, where = Path(path), str(path)
    try:
        data = pydantic_core.from_json(file.read_bytes())
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", where=where, hint="check the path") from error
    except ValueError as error:
        hint = "write the report again"
        raise InputError(f"is not JSON, or is truncated ({error})", where=where, hint=hint) from error
    _check_version(data, where)
    try:
        return Report.model_validate(upgraded(data))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "top level"
        count = f", and {error.error_count() - 1} more" if error.error_count() > 1 else ""
        raise InputError(f"is not a valid report ({place}: {first['msg']}{count})", where=where) from error


def render_html(report: Report) -> str:
    """Return ``report`` as one HTML page that needs no network: styles, scripts and charts are inside it."""
    from deploy.report.page import render

    return render(report)


def write_html(report: Report, path: AnyPath, *, overwrite: bool = True) -> None:
    """Write ``report`` as one self-contained HTML page, atomically.

    Raises:
        InputError: ``path`` cannot be written.
        UnavailableError: plotly, whose script the page carries, is not installed.
    """
    check_writable(path, overwrite=overwrite)
    write_text(path, render_html(report), overwrite=overwrite)


def render_markdown(report: Report) -> str:
    """Return ``report`` as GitHub-flavoured Markdown for a pull request: verdict first, details folded."""
    from deploy.report.markdown import render

    return render(report)


def write_markdown(report: Report, path: AnyPath, *, overwrite: bool = True) -> None:
    """Write ``report`` as Markdown, atomically. Raises :class:`InputError` where ``path`` cannot be written."""
    check_writable(path, overwrite=overwrite)
    write_text(path, render_markdown(report), overwrite=overwrite)


WRITERS = {".html": write_html, ".md": write_markdown, ".json": write_json}


def write(report: Report, path: AnyPath, *, overwrite: bool = True) -> None:
    """Write ``report`` in the form that the ending of ``path`` names: ``.html``, ``.md`` or ``.json``.

    Raises:
        InputError: another ending, or ``path`` cannot be written.
        UnavailableError: as :func:`write_html`.
    """
    writer = WRITERS.get(Path(path).suffix)
    if writer is None:
        raise InputError("a report ends in .html, .md or .json", where=str(path), hint="choose one of these endings")
    writer(report, path, overwrite=overwrite)


def _check_version(data: Any, where: str) -> None:
    version = data.get("version") if isinstance(data, dict) else None
    if isinstance(version, bool) or not isinstance(version, int):
        raise InputError("is not a report: it has no version", where=where, hint="name a report.json of this tool")
    if version > VERSION:
        raise InputError(
            f"was written in report version {version}, this tool reads up to {VERSION}",
            where=where,
            hint="upgrade this tool",
        )
    if version < OLDEST:
        raise InputError(f"has report version {version}, which never existed", where=where)
