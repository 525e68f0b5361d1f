"""What a capture is doing now: told to whoever waits, and named in the error when its time is up."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import TypeVar

from torch import nn

from compress.capturing._time_limit import Expired, run_limited
from compress.capturing._whereabouts import raised_in, whereabouts
from compress.errors import CaptureError

Result = TypeVar("Result")
Progress = Callable[[str], None]


class Stage:
    """The stage of one capture, and the modules that run in it."""

    def __init__(self, progress: Progress | None) -> None:
        """``progress`` is called with the name of every stage as it begins."""
        self._progress = progress
        self._name = "preparing the network"
        self._layers: dict[int, str] = {}
        self._where: str | None = None

    def enter(self, name: str, module: nn.Module | None = None) -> None:
        """Begin the stage ``name`` (``tracing the training graph``), in which ``module`` runs."""
        self._name = name
        self._layers = {id(part): path for path, part in module.named_modules()} if module is not None else {}
        if self._progress is not None:
            self._progress(name)

    def limited(self, work: Callable[[], Result], module: nn.Module, seconds: float | None) -> Result:
        """Return ``work()``, which captures ``module`` or a part of it.

        Raises:
            CaptureError: it took longer than ``seconds``.
        """
        try:
            return run_limited(work, seconds, self._notice)
        except Expired as error:
            inside = f"in {self._where}" if self._where else "in torch's work on the graph, outside the network's code"
            raise CaptureError(
                f"{type(module).__name__} was given up after {seconds:g} s while {self._name}, {inside}",
                hint="if it loops or unrolls there, capture a part (--submodule) or a smaller input (--input-size); "
                "if it is only slow, allow it longer (--capture-timeout, time_limit=)",
            ) from error

    def raised_in(self, error: BaseException) -> str | None:
        """Return the layer and source line that ``error`` comes from; None where that is not the network's code."""
        return raised_in(error, self._layers)

    def _notice(self, frame: types.FrameType) -> None:
        self._where = whereabouts(frame, self._layers)
