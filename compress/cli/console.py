"""What a command prints: messages and progress on stderr, its result (a table or one JSON document) on stdout."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import click

from compress.cli.progress import Doing, bars, clock, lines

SLOW_SECONDS = 2.0
PIPE_WIDTH = 160


class Console:
    """Prints for one command. With ``as_json``, stdout carries exactly one JSON document."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        # Of the processes that torchrun starts, one speaks for all.
        self._speaks = os.environ.get("RANK", "0") == "0"

    def say(self, text: str) -> None:
        """Tell the user something beside the result, on stderr."""
        if self._speaks:
            click.echo(text, err=True)

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[Doing]:
        """Show that ``text`` is under way: a live clock on a terminal, else lines while it takes long and afterwards;
        yields ``doing(what is done now)``.
        """
        with self.timed(text):
            if not self._speaks:
                yield lambda what: None
                return
            with clock(text) if sys.stderr.isatty() else lines(text) as doing:
                yield doing

    @contextlib.contextmanager
    def timed(self, text: str) -> Iterator[None]:
        """Say afterwards how long ``text`` took, where what runs inside shows its own progress."""
        started = time.monotonic()
        yield
        seconds = time.monotonic() - started
        if seconds > SLOW_SECONDS:
            self.say(f"{text}: {seconds:.1f} s")

    @contextlib.contextmanager
    def bar(self, text: str) -> Iterator[Callable[[float, str], None]]:
        """Show progress while the context is open; yields ``progress(share done from 0 to 1, what is done)``."""
        with self.bars([text]) as (progress,):
            yield progress

    @contextlib.contextmanager
    def bars(self, texts: Sequence[str]) -> Iterator[list[Callable[[float, str], None]]]:
        """Show the progress of several things at once, a line each; yields a ``progress`` for each, as :meth:`bar`."""
        with self.timed(", ".join(texts)):
            if not sys.stderr.isatty():
                yield [_silent for _ in texts]
                return
            with bars(texts) as gauges:
                yield gauges

    def result(self, data: Mapping[str, Any]) -> None:
        """Print the JSON document, where JSON was asked for."""
        if self.as_json and self._speaks:
            click.echo(json.dumps(_finite(data), indent=2, default=str, allow_nan=False))

    def line(self, text: str = "") -> None:
        """Print one line of the human-readable result."""
        if not self.as_json and self._speaks:
            click.echo(text)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None) -> None:
        """Print a table of the human-readable result; columns of figures are right-aligned."""
        if self.as_json or not self._speaks:
            return
        from rich.box import SIMPLE_HEAD
        from rich.console import Console as RichConsole
        from rich.table import Table
        from rich.text import Text

        table = Table(box=SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
        cells = [[str(cell) for cell in row] for row in rows]
        for index, column in enumerate(columns):
            figures = index > 0 and all(row[index][:1].isdigit() for row in cells if row[index] not in ("", "unknown"))
            table.add_column(Text(column), justify="right" if figures else "left", overflow="fold")
        for row in cells:
            table.add_row(*(Text(cell) for cell in row))
        width = None if sys.stdout.isatty() else PIPE_WIDTH
        RichConsole(width=width, highlight=False).print(table)


def _silent(_share: float, _what: str) -> None:
    """Nobody looks."""


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: a diverged loss becomes null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
