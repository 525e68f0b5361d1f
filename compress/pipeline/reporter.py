"""How a job tells its caller what it is doing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol


class Reporter(Protocol):
    """Receives messages and long steps; the command line prints them."""

    def say(self, text: str) -> None:
        """Tell the user one thing beside the result."""
        ...

    def step(self, text: str) -> contextlib.AbstractContextManager[Callable[[str], None]]:
        """Show that ``text`` is under way for as long as the context is open; yields ``doing(what is done now)``."""
        ...

    def timed(self, text: str) -> contextlib.AbstractContextManager[None]:
        """Say afterwards how long ``text`` took, where what runs inside shows its own progress."""
        ...


class Silent:
    """A :class:`Reporter` that says nothing, for callers from Python."""

    def say(self, text: str) -> None:
        """Drop the message."""

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[Callable[[str], None]]:
        """Do the step without a word."""
        yield lambda what: None

    @contextlib.contextmanager
    def timed(self, text: str) -> Iterator[None]:
        """Do the step without a word."""
        yield
