"""Where running code was, in the words of whoever wrote the network: its layer, and the line of their own source."""

from __future__ import annotations

import os
import sysconfig
import types
from collections.abc import Iterator, Mapping

import torch

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
    frames = list(_outwards(frame))
    written = next((at for at, item in enumerate(frames) if _written_by_user(item.f_code.co_filename)), None)
    around = frames if written is None else frames[written:]
    layer = next((layers[id(owner)] for item in around if id(owner := item.f_locals.get("self")) in layers), None)
    if layer is None:
        return None
    named = f"layer {layer!r}" if layer else "the network's own forward"
    return named if written is None else f"{named}, {_line(frames[written])}"


def _outwards(frame: types.FrameType | None) -> Iterator[types.FrameType]:
    """From the innermost frame to the one in which this tool called the network."""
    while frame is not None and not frame.f_code.co_filename.startswith(_OWN):
        yield frame
        frame = frame.f_back


def _line(frame: types.FrameType) -> str:
    return f"line {frame.f_lineno} of {os.path.basename(frame.f_code.co_filename)} (in {frame.f_code.co_name})"


def _written_by_user(file: str) -> bool:
    """Whether ``file`` is model code, and no part of Python, or of torch."""
    if file.startswith(("<", _TORCH)):
        return False
    return file.startswith(_INSTALLED) or not file.startswith(_STANDARD)
