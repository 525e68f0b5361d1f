"""What a search found: the candidates that no other beats in both loss and cost, as a versioned JSON file."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compress.errors import InputError, PlanError
from compress.files import write_text
from compress.search.encoding import Candidate

FORMAT, VERSION = "compress-front", 1
_WANTED = re.compile(r"(?P<what>latency|macs)=(?P<amount>[0-9.eE+-]+)(?P<unit>ms|%|)")


@dataclass(frozen=True)
class Found:
    """A candidate of the front. ``loss`` is the proxy's on held-out samples; ``cost`` in the front's unit."""

    number: int
    loss: float
    cost: float
    candidate: Candidate

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "number": self.number,
            "loss": self.loss,
            "cost": self.cost,
            "widths": dict(self.candidate.widths),
            "densities": dict(self.candidate.densities),
        }


@dataclass(frozen=True)
class Front:
    """The candidates found, in rising cost.

    Attributes:
        points: the front.
        others: number, loss and cost of every other trial, for charts.
        cost: what the cost is (``latency`` or ``macs``), ``unit`` what it is in, ``dense`` the whole network's.
        dense_loss: the proxy of the whole network with the shared weights; None where it was not judged.
        settings: what was searched, and how; ``throughput`` what that took.
    """

    points: tuple[Found, ...]
    others: tuple[tuple[int, float, float], ...]
    cost: str
    unit: str
    dense: float
    dense_loss: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    throughput: Mapping[str, Any] = field(default_factory=dict)

    def pick(self, wanted: str) -> list[Found]:
        """Return the candidates that ``wanted`` names: ``latency=0.5`` or ``macs=0.5`` (at most that share of the whole
        network's, the one of least loss), ``latency=12ms``, ``knee``, ``all``, or ``all=N`` (spread over the costs).

        Raises:
            PlanError: it is none of these, of another cost, or below the floor, which the message says.
        """
        if not self.points:
            raise PlanError("the front is empty: no trial had a finite loss")
        if wanted == "knee":
            return [self._knee()]
        if wanted == "all":
            return list(self.points)
        if wanted.startswith("all="):
            return self._spread(wanted.removeprefix("all="))
        return [self._within(wanted)]

    def _within(self, wanted: str) -> Found:
        found = _WANTED.fullmatch(wanted)
        amount = _number(found["amount"]) if found else math.nan
        if found is None or not amount > 0:
            raise PlanError(
                f"--pick {wanted} makes no sense", hint=f"write {self.cost}=0.5, latency=12ms, knee, all or all=4"
            )
        if found["what"] != self.cost or (found["unit"] == "ms" and self.unit != "ms"):
            raise PlanError(
                f"--pick {wanted}, but the search minimised {self.cost}", hint=f"write --pick {self.cost}=0.5"
            )
        limit = amount if found["unit"] == "ms" else self.dense * amount / (100 if found["unit"] == "%" else 1)
        within = [point for point in self.points if point.cost <= limit * (1 + 1e-9)]
        if not within:
            floor = self.points[0].cost
            raise PlanError(
                f"--pick {wanted} is below the floor: the cheapest candidate takes "
                f"{floor:.4g} {self.unit}, {self.cost}={floor / self.dense:.3f}",
                hint="allow lower bounds with --lowest-width and --lowest-density in another search",
            )
        return min(within, key=lambda point: point.loss)

    def _knee(self) -> Found:
        """The point furthest from the line between the front's ends, both axes in shares of their range."""
        first, last = self.points[0], self.points[-1]
        wide, high = last.cost - first.cost, first.loss - last.loss
        if len(self.points) < 3 or not (wide > 0 and high > 0):
            return first

        def below(point: Found) -> float:
            return 1 - (point.cost - first.cost) / wide - (point.loss - last.loss) / high

        return max(self.points, key=below)

    def _spread(self, count: str) -> list[Found]:
        if not count.isdigit() or int(count) < 1:
            raise PlanError(f"--pick all={count} makes no sense", hint="write all=4")
        low, high = self.points[0].cost, self.points[-1].cost
        places = [low + (high - low) * at / max(int(count) - 1, 1) for at in range(int(count))]
        nearest = [min(self.points, key=lambda point: abs(point.cost - place)) for place in places]
        return list({point.number: point for point in nearest}.values())

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "cost": {"name": self.cost, "unit": self.unit, "dense": self.dense},
            "dense_loss": self.dense_loss,
            "points": [point.to_json() for point in self.points],
            "others": [list(other) for other in self.others],
            "settings": dict(self.settings),
            "throughput": dict(self.throughput),
        }

    def save(self, path: Path) -> None:
        """Write the file atomically. Raises :class:`InputError` where that cannot be."""
        write_text(path, json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: Path) -> Front:
        """Read a file that :meth:`save` wrote. Raises :class:`InputError` where it is none."""
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(
                f"cannot be read ({error.strerror})", where=str(path), hint="name the folder of a search that ended"
            ) from error
        except (ValueError, RecursionError) as error:
            raise InputError("is not JSON", where=str(path), hint="name the folder of a search") from error
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise InputError("is no front of a search", where=str(path), hint="name the folder of a search")
        if document.get("version") != VERSION:
            raise InputError(
                f"has version {document.get('version')!r}, this tool reads {VERSION}",
                where=str(path),
                hint="use the version of compress-toolchain that made it",
            )
        try:
            return _parsed(document)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"is damaged ({type(error).__name__}: {error})", where=str(path), hint="search again with --resume"
            ) from error


def _parsed(document: Mapping[str, Any]) -> Front:
    cost = document["cost"]
    return Front(
        tuple(_found(entry) for entry in document["points"]),
        tuple((int(number), float(loss), float(price)) for number, loss, price in document["others"]),
        str(cost["name"]),
        str(cost["unit"]),
        float(cost["dense"]),
        None if document["dense_loss"] is None else float(document["dense_loss"]),
        dict(document["settings"]),
        dict(document["throughput"]),
    )


def _found(entry: Mapping[str, Any]) -> Found:
    widths = {str(name): int(width) for name, width in entry["widths"].items()}
    densities = {str(name): float(share) for name, share in entry["densities"].items()}
    return Found(int(entry["number"]), float(entry["loss"]), float(entry["cost"]), Candidate(widths, densities))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def best(found: Iterable[Found]) -> tuple[Found, ...]:
    """Return those that no other beats, in rising cost; of equal ones the first."""
    least, kept = math.inf, []
    for one in sorted(found, key=lambda found: (found.cost, found.loss, found.number)):
        if math.isfinite(one.cost) and one.loss < least:
            least = one.loss
            kept.append(one)
    return tuple(kept)
