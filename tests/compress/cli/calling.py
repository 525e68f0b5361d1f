"""What a command line that was called in this process ended with."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """What a command ended with."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        """The JSON document on stdout."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    def refused(self, *words: str, code: int = 2) -> None:
        """Assert that the command ended with ``code`` and one line on stderr that holds all ``words``."""
        assert self.code == code, self.err
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        for word in words:
            assert word in lines[0]


Cli = Callable[..., Outcome]
