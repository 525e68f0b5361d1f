"""What a runtime has to be able to do: say whether it is here, load a file, run it, describe itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class InputSpec:
    """One declared input. A dimension is an integer, or the name (possibly empty) of a dynamic one."""

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

    @abstractmethod
    def describe(self) -> Description:
        """Return what runs this session: runtime, version, provider, threads, settings."""


class Runtime(ABC):
    """One way to execute deployment files on this machine."""

    name: ClassVar[str]

    @abstractmethod
    def why_not(self) -> str | None:
        """Return ``None`` where the runtime can be used, else the reason in a few words."""

    @abstractmethod
    def prepare(self) -> None:
        """Import what the runtime needs, so that neither load time nor a file's memory is charged with it."""

    @abstractmethod
    def load(self, path: Path, *, threads: int) -> Session:
        """Load ``path`` for ``threads`` threads (at least 1).

        Raises:
            InputError: the file is missing or damaged, or the runtime does not support it.
        """
