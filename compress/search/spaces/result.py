"""What a search of pruning spaces found, as a versioned file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from compress.errors import InputError
from compress.files import write_text
from compress.search.spaces.analysis import Population

FORMAT, VERSION = "compress-spaces", 1


@dataclass(frozen=True)
class Regime:
    """What was found where recipes keep ``share`` of the MACs.

    Attributes:
        initial: population of the whole space.
        refined: population of the refined space; ``None`` where it could not be drawn, and ``why``.
        ratios: MACs per parameter of the initial and of the refined recipes.
        readings: for each reading of the ratio its buckets, band and held-out difference (JSON types).
        refinement: what refining brought (JSON types).
    """

    share: float
    initial: Population
    refined: Population | None
    ratios: tuple[list[float], list[float]]
    readings: list[dict[str, Any]]
    refinement: Mapping[str, Any] | None = None
    why: str | None = None


@dataclass(frozen=True)
class Result:
    """All regimes of a search; ``groups`` name the columns of recipes, ``settings`` say how it was made."""

    groups: tuple[str, ...]
    regimes: tuple[Regime, ...]
    dense_error: float
    settings: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "groups": list(self.groups),
            "dense_error": self.dense_error,
            "settings": dict(self.settings),
            "regimes": [_regime(regime) for regime in self.regimes],
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it atomically. Raises :class:`InputError` where that is impossible."""
        write_text(path, json.dumps(self.to_json(), indent=1) + "\n", overwrite=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Result:
        """Read a file. Raises :class:`InputError`: it is missing, damaged, or of another version."""
        hint = "give a spaces.json that compress search wrote"
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"cannot be read ({error.strerror or error})", where=str(path)) from error
        except (ValueError, RecursionError) as error:
            raise InputError("is not JSON", where=str(path), hint=hint) from error
        if not isinstance(document, dict) or document.get("format") != FORMAT or document.get("version") != VERSION:
            raise InputError("is no search of pruning spaces that this version reads", where=str(path), hint=hint)
        try:
            return cls(
                tuple(document["groups"]),
                tuple(_read(entry) for entry in document["regimes"]),
                float(document["dense_error"]),
                document["settings"],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"is damaged ({error})", where=str(path), hint=hint) from error


def _regime(regime: Regime) -> dict[str, Any]:
    return asdict(regime) | {
        "initial": _population(regime.initial),
        "refined": None if regime.refined is None else _population(regime.refined),
        "ratios": list(regime.ratios),
        "refinement": None if regime.refinement is None else dict(regime.refinement),
    }


def _population(population: Population) -> dict[str, Any]:
    return {"widths": population.rows.tolist(), "errors": population.errors.tolist()}


def _read(entry: dict[str, Any]) -> Regime:
    refined = entry["refined"]
    first, second = entry["ratios"]
    return Regime(
        float(entry["share"]),
        _populated(entry["initial"]),
        None if refined is None else _populated(refined),
        (first, second),
        entry["readings"],
        entry["refinement"],
        entry["why"],
    )


def _populated(entry: dict[str, Any]) -> Population:
    rows, errors = np.array(entry["widths"], np.int64), np.array(entry["errors"], np.float64)
    if rows.ndim != 2 or len(rows) != len(errors):
        raise ValueError("recipes and errors are not as many")
    return Population(rows, errors)
