"""Climb a column's rungs for one network, in this process, telling the row after every rung."""

from __future__ import annotations

import resource
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.ladder.rows import Row


class Unreached(Exception):  # noqa: N818 - not an error: a rung before this one left nothing to go on with
    """A rung needs what an earlier one, which failed, would have left."""


class Climber(ABC):
    """One network on one column's ladder: one method for each rung, which returns the facts worth recording.

    What one rung leaves, the next ones take up. A rung that fails raises; later rungs that do not need it still run.
    """

    rungs: ClassVar[tuple[str, ...]]

    def __init__(self, ref: str, folder: Path) -> None:
        self.ref = ref
        self.folder = folder

    @abstractmethod
    def describe(self) -> Row:
        """Facts that hold however far the network gets."""


def climb(column: str, ref: str, rungs: Sequence[str], tell: Callable[[Row], None]) -> None:
    """Run the named rungs of ``column`` on ``ref`` and ``tell`` the row after each of them."""
    from benchmarks.ladder.columns import COLUMNS

    with tempfile.TemporaryDirectory(prefix="ladder-") as folder:
        climber = COLUMNS[column]()(ref, Path(folder))
        row: Row = {"ref": ref, "rungs": [], "failed": {}, "cpu_seconds": {}, **climber.describe()}
        for rung in rungs:
            tell(row | {"at": rung})
            begun = _cpu_seconds()
            try:
                row |= getattr(climber, rung)()
                row["rungs"].append(rung)
            except Unreached:
                continue
            except Exception as error:  # noqa: BLE001 - whatever goes wrong is this network's result
                row["failed"][rung] = f"{type(error).__name__}: {_first_lines(error)}"
            row["cpu_seconds"][rung] = round(_cpu_seconds() - begun, 2)
            row["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        tell(row)


def _cpu_seconds() -> float:
    return time.process_time() + sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])


def _first_lines(error: BaseException, limit: int = 400) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines)[:limit]


def outputs_of(value: Any) -> tuple[Any, ...]:
    """Every tensor of a network's output, however it is nested."""
    import torch
    from torch.utils import _pytree as pytree

    return tuple(leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, torch.Tensor))


def backward(outputs: Sequence[Any]) -> None:
    """Differentiate the mean square of every floating-point output.

    Raises:
        RuntimeError: no gradient arrives, or one is not finite.
    """
    floating = [part for part in outputs if part.is_floating_point() and part.requires_grad]
    if not floating:
        raise RuntimeError("no output depends on a parameter")
    sum(part.float().square().mean() for part in floating).backward()
