"""The search itself: begin trials, judge them, tell the study, until there are as many as were asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from compress.search.clock import Clock
from compress.search.costs import Cost
from compress.search.encoding import Candidate, Encoding
from compress.search.sorting import Array
from compress.search.study import Study
from compress.training.stopping import Interrupted, StopRequest

Judge = Callable[[Sequence[Candidate]], Sequence[float]]
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Throughput:
    """What the search's time went to, of this worker's trials alone: ``seconds`` by part, training included."""

    trials: int
    seconds: dict[str, float]

    @property
    def per_second(self) -> float:
        """Candidates per second, training of the shared weights and waiting for others not counted."""
        spent = sum(self.seconds[part] for part in ("evaluate", "select", "storage"))
        return self.trials / spent if spent else 0.0

    @property
    def overhead(self) -> float:
        """The share of selection and storage in that time."""
        spent = sum(self.seconds[part] for part in ("evaluate", "select", "storage"))
        return (self.seconds["select"] + self.seconds["storage"]) / spent if spent else 0.0

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "trials": self.trials,
            "seconds": dict(self.seconds),
            "candidates_per_second": self.per_second,
            "selection_and_storage": self.overhead,
        }


class Search:
    """What all trials of a search have in common.

    Args:
        encoding: turns points into candidates; the study's points are of its free genes.
        cost: predicted for every candidate before it is judged.
        judge: returns the loss of each candidate.
        batch: trials begun and judged at once; several share what asking the storage and reading the data takes.
    """

    def __init__(self, encoding: Encoding, cost: Cost, judge: Judge, *, batch: int = 1) -> None:
        self._encoding, self._cost, self._judge, self._batch = encoding, cost, judge, batch

    def candidate(self, genes: Array) -> Candidate:
        """The candidate of a point of the study."""
        return self._encoding.decode(self._encoding.filled(genes))

    def run(self, study: Study, wanted: int, clock: Clock, progress: Progress = lambda share, text: None) -> Throughput:
        """Work until the study has ``wanted`` complete trials, whoever did them.

        Raises:
            Interrupted: Ctrl-C or SIGTERM, after the trials in hand.
            StudyError: the storage could not be reached for too long.
        """
        done = 0
        with StopRequest() as stop:
            while tickets := study.ask(wanted, self._batch, self._described, lambda: stop.wanted):
                with study.at_work(tickets):
                    candidates = [self.candidate(ticket.genes) for ticket in tickets]
                    with clock.of("evaluate"):
                        losses = self._judge(candidates)
                        costs = self._cost.of(candidates).tolist()
                    for ticket, loss, cost in zip(tickets, losses, costs, strict=True):
                        done += study.tell(ticket, (loss, cost))
                        progress(min(ticket.number / wanted, 1.0), f"trial {ticket.number}: loss {loss:.3f}")
                if stop.wanted:
                    raise _interrupted(done)
            if stop.wanted:
                raise _interrupted(done)
        return Throughput(done, dict(clock.seconds))

    def _described(self, genes: Array) -> dict[str, Any]:
        """What a trial says of itself beside its parameters: how wide and how dense it really is."""
        candidate = self.candidate(genes)
        return {
            "widths": dict(candidate.widths),
            "densities": {name: round(share, 6) for name, share in candidate.densities.items() if share < 1},
        }


def _interrupted(done: int) -> Interrupted:
    return Interrupted(f"stopped after {done} trials of this worker", hint="--resume goes on from there")
