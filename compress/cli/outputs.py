"""The ``-o`` of commands that write reports: the ending decides the form."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from compress.errors import UnavailableError

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
PAGE = (".html", ".json")
REPORT = (".html", ".md", ".json")


def report_outputs(function: Decorated) -> Decorated:
    """``-o report.html``, ``-o report.md`` (for pull requests), ``-o report.json``; passed on as ``outputs``."""
    return _outputs(REPORT, needing_charts=(".html",))(function)


def page_outputs(function: Decorated) -> Decorated:
    """``-o page.html``, ``-o page.json``; passed on as ``outputs``."""
    return _outputs(PAGE)(function)


def _outputs(suffixes: tuple[str, ...], needing_charts: tuple[str, ...] = ()) -> Callable[[Decorated], Decorated]:
    named = f"{', '.join(suffixes[:-1])} or {suffixes[-1]}"

    def known(_context: click.Context, _parameter: click.Parameter, values: tuple[Path, ...]) -> tuple[Path, ...]:
        for path in values:
            if path.suffix not in suffixes:
                raise click.BadParameter(f"{path}: a report is written as {named}")
        if len(set(values)) < len(values):
            raise click.BadParameter("the same file is named twice")
        if any(path.suffix in needing_charts for path in values) and importlib.util.find_spec("plotly") is None:
            raise UnavailableError(
                "the HTML report needs the plotly package", hint="pip install plotly, or -o report.md"
            )
        return values

    return click.option(
        "-o",
        "--output",
        "outputs",
        multiple=True,
        type=click.Path(path_type=Path),
        callback=known,
        metavar=f"FILE{'|'.join(suffixes)}",
        help="Write a report; the ending decides the form; repeatable.",
    )
