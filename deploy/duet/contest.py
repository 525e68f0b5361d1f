"""The sequential test: how noisy is this machine, then block after block until every metric is decided.

What makes the bets of :mod:`deploy.duet.wealth` fair: each pair's order is drawn by a fair coin, and both files are
loaded afresh, in random order, for every block. If every run of the new file took exactly ``1 + r`` times what the base
would have taken in its place, then a block's log-ratio minus ``log(1 + r)`` would change sign, and nothing else, had
all coins fallen the other way. So its sign is a fair coin itself, given its size and everything that happened before:
whatever the machine does, however its noise hangs together over time, and with whatever luck the files lie in memory.
(Where the files react to disturbances differently, ``r`` is by definition the centre of what blocks show.)

So, at any time and whatever ends the test,

    P(FAIL although no slow-down exceeds its tolerance) <= alpha       (alpha / metrics for each)
    P(PASS although some slow-down is at least its tolerance) <= alpha (a PASS needs all metrics)
"""

from __future__ import annotations

import dataclasses
import math
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from deploy.duet import wealth
from deploy.duet.blocks import Block, Load, fewest_pairs, measure
from deploy.timing import NOBODY, Observer, Progress, Warmth, silent, warm_up

_WARMUP_SHARE = 0.15
_PILOT_SHARE = 0.25
_PILOT_BLOCKS = 6
_FEWEST_PILOT = 3
_HOPED_BLOCKS = 32  # that blocks are kept short enough for, the pilot's included
_LOADING_SHARE = 1 / 3
_ENOUGH_BLOCKS = 18
_GOOD_PAIRS = 8
_FEWEST_PAIRS = 4
_MOST_PAIRS = 400
_SHORTEST_SHARE = 0.02
_HOPELESS = 2.0  # the pilot's own estimate is good to a factor of two
_LOOK_GROWTH = 1.3


@dataclass(frozen=True)
class Terms:
    """What is to be decided: the tolerance (0.05 for 5 %) of every metric, within ``budget`` seconds.

    ``fail_alpha`` is the chance of a wrong FAIL that one metric may take: ``alpha``, shared by all metrics.
    """

    tolerances: Mapping[str, float]
    budget: float
    alpha: float
    fail_alpha: float
    seed: int


@dataclass
class Track:
    """One metric: block by block, what the baseline showed against itself, and what the new file showed."""

    metric: str
    tolerance: float
    noise: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    scale: float = 0.0
    status: str = "inconclusive"
    resolution: float | None = None
    low: float | None = None
    high: float | None = None
    looks: list[dict[str, Any]] = field(default_factory=list)

    def update(self, terms: Terms) -> None:
        """Decide, where the bets allow it."""
        if self.status != "inconclusive":
            return
        allowed = math.log1p(self.tolerance)
        if wealth.wealth(self.values, allowed, self.scale) >= math.log(1 / terms.fail_alpha):
            self.status = "fail"
        elif wealth.wealth([-value for value in self.values], -allowed, self.scale) >= math.log(1 / terms.alpha):
            self.status = "pass"

    def look(self, pairs: int, terms: Terms) -> None:
        """Write the bounds down: they hold together with all earlier ones, so they never widen."""
        low, _ = wealth.bounds(self.values, self.scale, terms.fail_alpha)
        _, high = wealth.bounds(self.values, self.scale, terms.alpha)
        self.low = low if self.low is None or (low is not None and low > self.low) else self.low
        self.high = high if self.high is None or (high is not None and high < self.high) else self.high
        self.looks.append(
            {
                "pairs": pairs,
                "blocks": len(self.values),
                "level": terms.fail_alpha,
                "slowdown": math.expm1(median(self.values)),
                "low": _expm1(self.low),
                "high": _expm1(self.high),
            }
        )

    def resolve(self, blocks: int, terms: Terms) -> None:
        """Estimate what ``blocks`` blocks resolve, from all that has been seen."""
        centre = median(self.values) if self.values else 0.0
        seen = [*self.noise, *(value - centre for value in self.values)]
        width = wealth.half_width(seen, blocks, self.scale, terms.fail_alpha) if seen else None
        self.resolution = _expm1(width)


class Contest:
    """One test of ``new`` against ``base``; ``run`` does it."""

    def __init__(
        self, base: Load, new: Load, terms: Terms, observer: Observer = NOBODY, progress: Progress = silent
    ) -> None:
        self._base = base
        self._new = new
        self._terms = terms
        self._observer = observer
        self._progress = progress
        self._order = random.Random(terms.seed)
        self._tracks = [Track(metric, tolerance) for metric, tolerance in terms.tolerances.items()]
        self._blocks: list[Block] = []

    def run(self) -> dict[str, Any]:
        """Return what was found, made of what JSON has; slow-downs and bounds as shares (0.05 for 5 %)."""
        start = time.perf_counter()
        end = start + self._terms.budget
        self._progress(0.0, "warming up")
        warmth, pairs = self._prepare(end)
        begun = time.perf_counter()
        self._progress((begun - start) / self._terms.budget, "measuring this machine's noise")
        per_block = self._pilot(pairs, begun, end)
        possible = max(int((end - time.perf_counter()) / per_block), 0)
        for track in self._tracks:
            track.resolve(possible, self._terms)
        if not all(_hopeless(track) for track in self._tracks):
            self._race(pairs, start, end)
            for track in self._tracks:
                track.resolve(possible, self._terms)
        refused = [track for track in self._tracks if track.status == "inconclusive" and _too_coarse(track)]
        for track in refused:
            track.status = "unresolvable"
        return {
            "tracks": [dataclasses.asdict(track) for track in self._tracks],
            "warmup": {"runs": warmth.runs, "seconds": warmth.seconds, "stationary": warmth.stationary},
            "pairs_per_block": pairs,
            "blocks_possible": possible,
            "seconds_per_block": per_block,
            "enough": _enough(per_block, self._terms),
            "seconds": time.perf_counter() - start,
            "base_milliseconds": [value * 1e3 for block in self._blocks for value in block.base],
            "new_milliseconds": [value * 1e3 for block in self._blocks for value in block.new],
        }

    def _prepare(self, end: float) -> tuple[Warmth, int]:
        loading, calls = [], []
        for index, load in enumerate((self._base, self._new)):
            self._observer.before_call(index, 0.0)
            begun = time.perf_counter()
            calls.append(load())
            loading.append(time.perf_counter() - begun)
        limit = self._terms.budget * _WARMUP_SHARE
        warmth = warm_up(calls, limit=limit, seed=self._terms.seed, observer=self._observer)
        left = max(end - time.perf_counter(), 0.0)
        fewest = fewest_pairs([track.metric for track in self._tracks])
        return warmth, pairs_in_block(2 * min(loading), warmth.seconds / warmth.runs, left, fewest)

    def _pilot(self, pairs: int, begun: float, end: float) -> float:
        """Run the baseline against itself, loaded afresh every time; return the least seconds that a block takes."""
        allowed = (end - begun) * _PILOT_SHARE
        done = 0
        while done < _PILOT_BLOCKS and (done < _FEWEST_PILOT or time.perf_counter() - begun < allowed):
            block = measure(
                self._base, self._base, pairs=pairs, order=self._order, end=end, observer=_Only(self._observer)
            )
            if block is None:
                break
            done += 1
            for track in self._tracks:
                track.noise.append(block.log_ratio(track.metric))
        if done:
            for track in self._tracks:
                track.scale = wealth.spread(track.noise)
        return (time.perf_counter() - begun) / max(done, 1)

    def _race(self, pairs: int, start: float, end: float) -> None:
        begun, due = time.perf_counter(), 1.0
        while True:
            block = measure(self._base, self._new, pairs=pairs, order=self._order, end=end, observer=self._observer)
            if block is None:
                break
            self._blocks.append(block)
            for track in self._tracks:
                track.values.append(block.log_ratio(track.metric))
            now = time.perf_counter()
            self._progress(min((now - start) / self._terms.budget, 1.0), f"{len(self._blocks)} blocks")
            if now - begun >= self._terms.budget * _SHORTEST_SHARE:
                for track in self._tracks:
                    track.update(self._terms)
            if self._decided():
                break
            if len(self._blocks) >= due:
                due = max(due * _LOOK_GROWTH, due + 1)
                self._look()
        if self._blocks and (not self._tracks[0].looks or self._tracks[0].looks[-1]["blocks"] < len(self._blocks)):
            self._look()

    def _look(self) -> None:
        for track in self._tracks:
            track.look(sum(len(block.base) for block in self._blocks), self._terms)

    def _decided(self) -> bool:
        """Whether one metric failed, or none is left to wait for; one that cannot be resolved is not waited for."""
        if any(track.status == "fail" for track in self._tracks):
            return True
        return all(track.status == "pass" or _hopeless(track) for track in self._tracks)


def pairs_in_block(loading: float, per_pair: float, left: float, fewest: int) -> int:
    """Return how many pairs a block has, so that loading costs no more than a third and many blocks fit.

    Args:
        loading: seconds to load both files.
        per_pair: seconds that a pair of runs takes.
        left: seconds for all blocks together.
        fewest: what the metrics need.
    """
    worth = max(loading * (1 / _LOADING_SHARE - 1) / per_pair, _GOOD_PAIRS)
    fitting = (left / _HOPED_BLOCKS - loading) / per_pair - 1
    # Where runs are slow or often interrupted, fewer blocks are better than blocks without an undisturbed run.
    scarce = min((left / _ENOUGH_BLOCKS - loading) / per_pair - 1, _FEWEST_PAIRS)
    return max(1, fewest, min(round(min(worth, max(fitting, scarce))), _MOST_PAIRS))


class _Only(Observer):
    """The baseline against itself is about one file, whichever of the two places it is in."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def before_call(self, index: int, share: float) -> None:
        self._observer.before_call(0, share)


def _enough(per_block: float, terms: Terms) -> float:
    """Return the seconds of budget with which a decision becomes possible at all, however clear the case."""
    return (wealth.fewest(terms.fail_alpha) + _PILOT_BLOCKS) * per_block / (1 - _WARMUP_SHARE)


def _hopeless(track: Track) -> bool:
    return track.resolution is None or track.resolution > _HOPELESS * track.tolerance


def _too_coarse(track: Track) -> bool:
    return track.resolution is None or track.resolution > track.tolerance


def _expm1(value: float | None) -> float | None:
    return None if value is None else math.expm1(value)
