"""What Ctrl-C says: how to go on from the state that the interrupted command left."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class Interrupted(Exception):  # noqa: N818 - not an error: the user asked for it
    """The user stopped the command; the message says what is left and how to resume."""


@contextlib.contextmanager
def resumable(how: str) -> Iterator[None]:
    """Turn Ctrl-C inside the block into :class:`Interrupted` with ``how`` as its message."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(how) from error
