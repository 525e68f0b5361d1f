"""Signs of life of what takes long: a clock or a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import click

Doing = Callable[[str], None]
FIRST_LINE_SECONDS = 10.0


@contextlib.contextmanager
def clock(text: str) -> Iterator[Doing]:
    """Show a live clock on a terminal; yields ``doing(what is done now)``, which adds to ``text``."""
    from rich.console import Console as RichConsole
    from rich.markup import escape
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    # The stream as it is now: while a network is captured, what its code prints is held back.
    with Progress(*columns, console=RichConsole(file=sys.stderr), transient=True) as progress:
        task = progress.add_task(escape(text), total=None)
        yield lambda what: progress.update(task, description=escape(f"{text}: {what}"))


@contextlib.contextmanager
def bar(text: str) -> Iterator[Callable[[float, str], None]]:
    """Show a bar on a terminal; yields ``progress(share done from 0 to 1, what is done)``."""
    with bars([text]) as (progress,):
        yield progress


@contextlib.contextmanager
def bars(texts: Sequence[str]) -> Iterator[list[Callable[[float, str], None]]]:
    """Show several bars at once, each as :func:`bar` does; they may be told from several threads."""
    from rich.console import Console as RichConsole
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=RichConsole(stderr=True), transient=True) as progress:

        def gauge(text: str) -> Callable[[float, str], None]:
            task = progress.add_task(escape(text), total=1.0)
            return lambda share, what: progress.update(task, completed=share, description=escape(f"{text}: {what}"))

        yield [gauge(text) for text in texts]


@contextlib.contextmanager
def lines(text: str, first: float = FIRST_LINE_SECONDS) -> Iterator[Doing]:
    """Write a line to a log after ``first`` seconds, after twice as many, and so on; yields as :func:`clock` does."""
    stream, started = sys.stderr, time.monotonic()
    over = threading.Event()
    said = [text]

    def tell() -> None:
        due = first
        while not over.wait(max(0.0, started + due - time.monotonic())):
            click.echo(f"{said[0]}, {due:.0f} s so far", file=stream)
            due *= 2

    def doing(what: str) -> None:
        said[0] = f"{text}: {what}"

    thread = threading.Thread(target=tell, name="progress lines", daemon=True)
    thread.start()
    try:
        yield doing
    finally:
        over.set()
        thread.join()
