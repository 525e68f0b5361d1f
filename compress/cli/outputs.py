"""The ``-o`` of commands that write reports: the ending decides the form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
SUFFIXES = (".html", ".json")


def report_outputs(function: Decorated) -> Decorated:
    """``-o report.html``, ``-o report.json``: repeatable, passed on as ``outputs``."""
    option = click.option(
        "-o",
        "--output",
        "outputs",
        multiple=True,
        type=click.Path(path_type=Path),
        callback=_known,
        metavar="FILE.html|.json",
        help="Write a report; the ending decides the form; repeatable.",
    )
    return option(function)


def _known(_context: click.Context, _parameter: click.Parameter, values: tuple[Path, ...]) -> tuple[Path, ...]:
    for path in values:
        if path.suffix not in SUFFIXES:
            raise click.BadParameter(f"{path}: a report is written as {' or '.join(SUFFIXES)}")
    return values
