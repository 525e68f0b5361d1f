"""Which call of the module's own code made which node of its captured graph, with what whole numbers, on which line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import torch
from torch.fx.experimental.proxy_tensor import get_proxy_mode, get_proxy_slot
from torch.overrides import TorchFunctionMode

from compress.capturing import CALL, MARK
from compress.eager.widths import Size, Width

_TORCH = os.path.dirname(torch.__file__) + os.sep
_OURS = os.path.dirname(os.path.dirname(__file__)) + os.sep


@dataclass(frozen=True)
class Call:
    """One call of a torch function: its name, the whole numbers it was given in order, and where it stands.

    ``with_batch`` are the tracked numbers that were combined with the open batch size since the call before.
    """

    function: str
    numbers: tuple[int, ...]
    line: str
    with_batch: tuple[Width, ...]


class Recorder(TorchFunctionMode):
    """While entered, calls made under ``torch.export`` are recorded, and the nodes they make carry their number.

    Sizes that are read off a tensor meanwhile are :class:`Width`, and the node that made the tensor carries their mark.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self._marks = 0
        self._with_batch = Width.collect_with_batch()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        mode = get_proxy_mode()
        if mode is None:
            return func(*args, **(kwargs or {}))
        nodes = mode.tracer.graph.nodes
        before = len(nodes)
        result = func(*args, **(kwargs or {}))
        fresh = len(nodes) - before
        if not fresh and _reads_size(func):
            return self._tracked(result, mode.tracer, *args)
        for _, node in zip(range(fresh), reversed(nodes), strict=False):
            node.meta["custom"] = {**node.meta.get("custom", {}), CALL: len(self.calls)}
        if fresh:
            name = str(getattr(func, "__name__", func))
            numbers = tuple(_numbers((*args, *(kwargs or {}).values())))
            self.calls.append(Call(name, numbers, _line_of_frame(sys._getframe(1)), tuple(self._with_batch)))
            self._with_batch.clear()
        return result

    def _tracked(self, size: Any, tracer: Any, tensor: torch.Tensor, dim: int | None = None) -> Any:
        """What was read of ``tensor``, its shape or one ``dim`` of it, as widths; open sizes are left as they are."""
        held = get_proxy_slot(tensor, tracer, None)
        if held is None:
            return size
        custom = held.proxy.node.meta.setdefault("custom", {})
        if MARK not in custom:
            custom[MARK] = self._marks
            self._marks += 1

        def read(value: Any, at: int) -> Any:
            return Width(value, Size(custom[MARK], at, value)) if type(value) is int else value

        if isinstance(size, torch.Size):
            return torch.Size([read(value, at) for at, value in enumerate(size)])
        return read(size, dim % tensor.ndim) if dim is not None else size


def _reads_size(func: Any) -> bool:
    return func is torch.Tensor.size or getattr(func, "__self__", None) is torch.Tensor.shape


def _numbers(value: Any) -> Iterator[int]:
    if isinstance(value, int):
        if not isinstance(value, bool):
            yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, slice):
        yield from _numbers((value.start, value.stop, value.step))


def _line_of_frame(frame: FrameType | None) -> str:
    places = []
    while frame is not None:
        places.append((frame.f_code.co_filename, frame.f_lineno))
        frame = frame.f_back
    return _line(places)


def line_of_error(error: BaseException) -> str:
    """The line of the network's code on which ``error`` was raised first, as ``package/file.py:12``."""
    while error.__cause__ is not None:
        error = error.__cause__
    places = []
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        places.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    return _line(places[::-1])


def _line(places: list[tuple[str, int]]) -> str:
    """The innermost place outside torch and this tool; torch's own where the network is of torch's layers alone."""
    torch_line = None
    for file, number in places:
        if file.startswith(_OURS):
            if file.startswith(os.path.dirname(__file__) + os.sep):
                continue
            break
        if file.startswith("<"):
            continue
        if not file.startswith(_TORCH):
            return f"{readable(file)}:{number}"
        torch_line = torch_line or f"{readable(file)}:{number}"
    return torch_line or "code that has no source file"


def readable(file: str) -> str:
    """A file's path below the folder that it is imported from, or below the working directory."""
    path = Path(file)
    roots = sorted((Path(root or ".").resolve() for root in [".", *sys.path]), key=lambda root: -len(root.parts))
    for root in roots:
        if path.is_relative_to(root):
            return str(path.relative_to(root))
    return str(path)
