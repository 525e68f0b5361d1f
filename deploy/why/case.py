"""Everything that was measured of two files: what the account, the verdict and the advice are drawn from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.records import Comparison
from deploy.sessions import Bench, Request
from deploy.why.causes import Account
from deploy.why.findings import Finding
from deploy.why.graph import Graph
from deploy.why.parts import Part
from deploy.why.records import Peak
from deploy.why.rows import Match


@dataclass(frozen=True)
class Case:
    """Both files on the bench, and what was found. ``graphs`` and ``paths``: the base file's, then the new one's."""

    paths: tuple[Path, Path]
    benches: tuple[Bench, Bench]
    graphs: tuple[Graph, Graph]
    request: Request
    peak: Peak
    comparison: Comparison
    found: Sequence[tuple[Match, Sequence[Finding]]]
    account: Account

    @property
    def new_parts(self) -> Iterator[Part]:
        """The parts of the new file."""
        return (pair.new for pair, _ in self.found if pair.new is not None)

    @property
    def base_parts(self) -> Iterator[Part]:
        """The parts of the base file."""
        return (pair.base for pair, _ in self.found if pair.base is not None)

    @property
    def new_ms(self) -> float:
        """Milliseconds of a run of the new file."""
        return self.comparison.new_p50

    @property
    def scale(self) -> float:
        """A run's milliseconds for each millisecond of the new file's operators: profiling, and what lies between."""
        told = sum(part.side.milliseconds for part in self.new_parts)
        return self.new_ms / told if told > 0 else 1.0

    @property
    def promised(self) -> float:
        """Milliseconds of a run of the new file, had the time of every part of the base file changed with its MACs."""
        told = sum(part.side.milliseconds for part in self.base_parts)
        return self.comparison.base_p50 * (self.account.expected / told if told > 0 else 1.0)

    @property
    def cause_scale(self) -> float:
        """A run's milliseconds for each millisecond of a cause, so that those that cost add up to what is lost."""
        # Causes that gained are left out: beside costs that they cancel, the sum says nothing about any of them.
        told = sum(max(cause.milliseconds, 0.0) for cause in self.account.causes)
        lost = self.new_ms - self.promised
        return lost / told if told > 0 and lost > 0 else self.scale


def total_macs(parts: Iterator[Part]) -> int | None:
    """Return the multiply-accumulates of all parts together, ``None`` where one is not known."""
    counts = [part.side.macs for part in parts]
    return None if None in counts else sum(count for count in counts if count is not None)
