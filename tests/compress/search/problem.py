"""A search whose judging takes no training: a worker of it can be started as a process, and killed."""

from __future__ import annotations

import sys
import time
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

import compress
from compress.search.breeding import Grid
from compress.search.clock import Clock
from compress.search.costs import MacsCost
from compress.search.encoding import Candidate, Encoding, encoding_of
from compress.search.identity import Identity, identity_of
from compress.search.sampler import GridSampler
from compress.search.searching import Search, Throughput
from compress.search.selection import UniformTargets, spread_targets
from compress.search.storages import open_storage
from compress.search.study import Sharing, Study

NAME, POPULATION = "toy", 6
SHARING = Sharing(patience=2.0, interval=0.2, grace=3.0)


@cache
def encoding() -> Encoding:
    """Of a small network, captured once."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 24, 3), nn.ReLU(), nn.Conv2d(24, 32, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 4),
    )  # fmt: skip
    program = compress.capture(network, (torch.zeros(1, 3, 8, 8),))
    return encoding_of(program, lowest_width=0.2, lowest_density=0.2)


def loss(candidate: Candidate) -> float:
    """Falls with every channel and weight that stays, and with some more than with others."""
    widths = np.array(list(candidate.widths.values()), float)
    shares = np.array(list(candidate.densities.values()), float)
    return float((1 / widths).sum() + ((1 - shares) ** 3 * np.arange(1, shares.size + 1)).sum())


class Worker:
    """One of those that share a study; ``seconds`` is how long it takes to judge a candidate."""

    def __init__(self, url: str, *, seed: int = 0, seconds: float = 0.0, sharing: Sharing = SHARING) -> None:
        self.encoding = encoding()
        self.clock, self.said = Clock(), list[str]()
        cost = MacsCost(self.encoding)
        low = cost.of([self.encoding.decode(self.encoding.grid.low)])[0]
        grid, free = self.encoding.grid, self.encoding.free
        sampler = GridSampler(
            [name for name, chosen in zip(self.encoding.names, free, strict=True) if chosen],
            Grid(grid.low[free], grid.high[free]),
            UniformTargets(spread_targets(low, cost.dense)),
            population=POPULATION,
            seed=seed,
        )
        self.search = Search(self.encoding, cost, lambda some: [self._judge(one, seconds) for one in some])
        self.study = Study.open(
            open_storage(url), NAME, sampler, self.identity(seed), metrics=("loss", "MACs"), clock=self.clock,
            say=self.said.append, sharing=sharing,
        )  # fmt: skip

    def identity(self, seed: int) -> Identity:
        """Of a search with this seed."""
        return identity_of(self.encoding.analysis.program, self.encoding, data="none", search={"seed": seed})

    def run(self, trials: int) -> Throughput:
        """Work until there are so many."""
        return self.search.run(self.study, trials, self.clock)

    def points(self) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
        """Parameters and values of all complete trials, in their order."""
        return [(tuple(trial.params.values()), tuple(trial.values)) for trial in self.study.complete()]

    @staticmethod
    def _judge(candidate: Candidate, seconds: float) -> float:
        time.sleep(seconds)
        return loss(candidate)


if __name__ == "__main__":
    url, trials, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    worker = Worker(url, seconds=pause)
    Path(sys.argv[4]).write_text("begun")
    worker.run(trials)
