"""Where running code was, in the words of whoever wrote the network: its layer, and the line of their own source."""

from __future__ import annotations

import itertools
import os
import sysconfig
import traceback
import types
from collections.abc import Iterator, Mapping

import torch

Call = tuple[types.FrameType, int]
"""What runs, and the line that it is at."""

_OWN = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_TORCH = os.path.dirname(os.path.abspath(torch.__file__)) + os.sep
_STANDARD = tuple(sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib"))
_INSTALLED = tuple(sysconfig.get_path(name) + os.sep for name in ("purelib", "platlib"))


def whereabouts(frame: types.FrameType, layers: Mapping[int, str]) -> str | None:
    """Return ``layer 'a.b', line 12 of net.py (in forward)``, or None where no code of the network is running.

    Args:
        frame: the innermost frame.
        layers: names of the network's modules by ``id``; the network itself has the empty name.
    """
    return _named(list(_outwards(frame)), layers)


def raised_in(error: BaseException, layers: Mapping[int, str]) -> str | None:
    """Return where ``error`` comes from, as :func:`whereabouts` does."""
    calls = reversed([(frame, line) for frame, line in traceback.walk_tb(error.__traceback__)])
    return _named(list(itertools.takewhile(lambda call: not _is_own(call[0]), calls)), layers)


def _named(calls: list[Call], layers: Mapping[int, str]) -> str | None:
    written = next((at for at, (frame, _) in enumerate(calls) if _written_by_user(frame.f_code.co_filename)), None)
    around = calls if written is None else calls[written:]
    layer = next((layers[id(owner)] for item, _ in around if id(owner := item.f_locals.get("self")) in layers), None)
    if layer is None:
        return None
    named = f"layer {layer!r}" if layer else "the network's own forward"
    return named if written is None else f"{named}, {_line(*calls[written])}"


def _outwards(frame: types.FrameType | None) -> Iterator[Call]:
    """From the innermost frame to the one in which this tool called the network."""
    while frame is not None and not _is_own(frame):
        yield frame, frame.f_lineno
        frame = frame.f_back


def _is_own(frame: types.FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_OWN)


def _line(frame: types.FrameType, line: int) -> str:
    return f"line {line} of {os.path.basename(frame.f_code.co_filename)} (in {frame.f_code.co_name})"


def _written_by_user(file: str) -> bool:
    """Whether ``file`` is model code, and no part of Python, or of torch."""
    if file.startswith(("<", _TORCH)):
        return False
    return file.startswith(_INSTALLED) or not file.startswith(_STANDARD)
