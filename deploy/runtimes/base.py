"""What a runtime has to be able to do: say whether it is here, load a file, run it, describe itself, tell its times."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Optional

import numpy as np

from compress.errors import InputError, UnavailableError

Array = np.ndarray[Any, np.dtype[Any]]

DTYPES = {
    "float": "float32",
    "double": "float64",
    **{name: name for name in ("float16", "bool")},
    **{f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
"""Of ONNX's words for types, what numpy calls them."""


@dataclass(frozen=True)
class InputSpec:
    """One declared input. A dimension is an integer, or the name (possibly empty) of a dynamic one.

    ``dtype`` is ONNX's word: ``float``, ``float16``, ``double``, ``int64``, ``uint8``, ``bool`` ...
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Description:
    """What ran the file, complete enough to repeat the measurement elsewhere."""

    runtime: str
    version: str
    provider: str
    threads: int
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class OperatorTiming:
    """One operator of the graph that the runtime made of the file, and its median time in a run.

    ``name`` and ``kind`` are the runtime's own words. ``nodes`` are the file's nodes that the operator stands for (of
    an engine: the layers' names that it was built from), in the file's order; ``layers`` those of the checkpoint's
    layers whose weights it uses. Both are empty where they are not known, or where the runtime put the operator in.
    """

    name: str
    kind: str
    milliseconds: float
    nodes: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    provider: Optional[str] = None  # noqa: UP045 - evaluated by tools on Python 3.9


# Where in its C++ sources a runtime failed: file, line and signature, which crowd out what it says.
_PLACE = re.compile(r"/\S*\.(?:cc|cpp|h|hpp):\d+ .*?\)(?: const)? (?=\S)")


class Session(ABC):
    """A loaded file, ready to run."""

    inputs: tuple[InputSpec, ...]
    path: Path

    @abstractmethod
    def run(self, feeds: Mapping[str, Array]) -> Sequence[Array]:
        """Run once, synchronously; outputs come back in the file's order.

        Raises:
            InputError: the runtime refused the inputs or failed on the way.
        """

    def check_feeds(self, feeds: Mapping[str, Array]) -> None:
        """Refuse feeds that are not as declared, for runtimes that would not notice.

        Raises:
            InputError: an input is missing or unknown, or has another type, rank or fixed size than declared.
        """
        where = str(self.path)
        for spec in self.inputs:
            if spec.name not in feeds:
                raise InputError(f"input {spec.name!r} is missing", where=where)
            given = feeds[spec.name]
            wanted = DTYPES.get(spec.dtype)
            if wanted is not None and given.dtype != wanted:
                raise InputError(f"input {spec.name!r} is {given.dtype}, {wanted} was expected", where=where)
            fits = len(given.shape) == len(spec.shape) and all(
                size == wanted or isinstance(wanted, str)
                for size, wanted in zip(given.shape, spec.shape)  # noqa: B905 - Python 3.9
            )
            if not fits:
                shape = [size or "?" for size in spec.shape]
                raise InputError(f"input {spec.name!r} has shape {list(given.shape)}, not {shape}", where=where)
        if len(feeds) > len(self.inputs):
            unknown = ", ".join(sorted(set(feeds) - {spec.name for spec in self.inputs}))
            raise InputError(f"has no input {unknown}", where=where)

    @abstractmethod
    def describe(self) -> Description:
        """Return what runs this session: runtime, version, provider, threads, settings."""

    def operator_times(self, feeds: Mapping[str, Array], *, runs: int = 20) -> list[OperatorTiming]:
        """Return the operators in the order of execution, each with its median time over ``runs`` runs on ``feeds``.

        Their sum is close to the time of a run; it lacks what the runtime does between operators. The file may be
        loaded a second time for it, with the runtime's own profiling on, which slows it down a little.

        Raises:
            InputError: the runtime refused the inputs or failed on the way.
            UnavailableError: the runtime cannot tell; the message says why.
        """
        raise UnavailableError(f"{self.describe().runtime} does not tell the times of operators")

    def placement(self) -> dict[str, list[str]]:
        """Return the names of the file's nodes that each provider runs, after the runtime's own partitioning.

        Nodes that the runtime computed ahead of time, or fused into others before it partitioned, are left out.

        Raises:
            UnavailableError: the runtime cannot tell; the message says why.
        """
        raise UnavailableError(f"{self.describe().runtime} does not tell which provider runs which node")


class Runtime(ABC):
    """One way to execute deployment files on this machine."""

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = (".onnx",)
    """How the names of the files end that it reads."""

    @abstractmethod
    def why_not(self) -> str | None:
        """Return ``None`` where the runtime can be used, else the reason in a few words. Raises nothing."""

    @abstractmethod
    def prepare(self) -> None:
        """Import what the runtime needs, so that neither load time nor a file's memory is charged with it."""

    @abstractmethod
    def load(self, path: Path, *, threads: int) -> Session:
        """Load ``path`` for ``threads`` threads (at least 1).

        Raises:
            InputError: the file is missing or damaged, or the runtime does not support it.
            UnavailableError: what the runtime needs turned out to be missing only now.
        """

    def check(self, path: Path, threads: int) -> None:
        """Refuse what cannot be loaded whatever the runtime: to be called first by every :meth:`load`.

        Raises:
            InputError: fewer than 1 thread, no such file, or not one of the kind that this runtime reads.
        """
        if threads < 1:
            raise InputError(f"{threads} threads were asked for", hint="give 1 or more")
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise InputError(what, where=str(path), hint="check the path")
        if path.suffix.lower() not in self.suffixes:
            reads = " and ".join(self.suffixes)
            raise InputError(
                f"is not a file for {self.name}, which reads {reads}",
                where=str(path),
                hint="export it for this runtime",
            )


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, shortened to one that can be shown."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = _PLACE.sub("", lines[0]) if lines else type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."
