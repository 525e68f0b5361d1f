"""What makes two searches the same: their trials can be compared, and one can go on where another stopped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compress.errors import StudyError
from compress.program import Program
from compress.search.encoding import Encoding

KEY = "compress.identity"
"""The study's user attribute."""
_SAID = {
    "network": "another network",
    "graph": "another graph of operators",
    "weights": "other weights to begin with",
    "data": "other data",
    "decisions": "other decisions or bounds",
    "cost": "another cost",
    "teaching": "another training of the shared weights",
    "judging": "another way of judging",
    "search": "other settings of the search",
}


@dataclass(frozen=True)
class Identity:
    """Parts by name, as JSON types."""

    parts: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all parts."""
        return _hash(dict(self.parts))

    def check(self, recorded: Mapping[str, Any] | None, where: str) -> None:
        """Refuse a study of another search.

        Raises:
            StudyError: it says what differs.
        """
        if recorded is None:
            raise StudyError("is not a study of this tool", where=where, hint="name another with --study")
        differing = [name for name in self.parts if recorded.get(name) != self.parts[name]]
        if differing or set(recorded) != set(self.parts):
            said = [_difference(name, recorded.get(name), self.parts[name]) for name in differing]
            raise StudyError(
                f"belongs to another search: {'; '.join(said) or 'made by another version of this tool'}",
                where=where,
                hint="go on with the same network, data and settings, or name another study with --study or -o",
            )


def identity_of(program: Program, encoding: Encoding, **parts: Any) -> Identity:
    """Return the identity of a search on ``program``; ``parts`` are what else decides it, as JSON types."""
    grid = encoding.grid
    choices = {str(gene): values.tolist() for gene, values in grid.choices.items()}
    decisions = [list(encoding.names), grid.low.tolist(), grid.high.tolist(), grid.step, choices]
    found = {
        "network": program.structure_hash(),
        "graph": _hash(program.structure()["graphs"]),
        "weights": program.fingerprint(),
        "decisions": _hash(decisions),
        **parts,
    }
    return Identity(json.loads(json.dumps(found)))


def _difference(name: str, recorded: Any, present: Any) -> str:
    said = _SAID.get(name, f"another {name}")
    if isinstance(recorded, Mapping) and isinstance(present, Mapping):
        keys = [key for key in sorted({*recorded, *present}) if recorded.get(key) != present.get(key)]
        pairs = ", ".join(f"{key} was {recorded.get(key)!r}, is now {present.get(key)!r}" for key in keys)
        return f"{said} ({pairs})"
    return said


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
