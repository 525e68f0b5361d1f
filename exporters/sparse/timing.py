"""Dense against sparse on this machine, whole networks in pairs of runs in random order."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from exporters._runtime import Feed, Session

_FEWEST, _MOST = 11, 400
_SHORTEST = 2e-4  # seconds; what is shorter is run several times in a row


@dataclass(frozen=True)
class Paired:
    """Times of one run in milliseconds, and the median ratio sparse / dense with a 95 % interval (sign test)."""

    dense: float
    sparse: float
    ratio: float
    low: float
    high: float
    pairs: int


def compare(dense: Session, sparse: Session, feed: Feed, *, seconds: float, seed: int = 0) -> Paired:
    """Run both on ``feed`` in pairs for about ``seconds``, at least 11 pairs."""

    def repeated(session: Session, times: int) -> Callable[[], float]:
        def run() -> float:
            start = time.perf_counter()
            for _ in range(times):
                session.run(feed)
            return (time.perf_counter() - start) / times

        return run

    once = [repeated(session, 1) for session in (dense, sparse)]
    warm = [min(call() for _ in range(4)) for call in once]
    calls = [
        repeated(session, max(1, math.ceil(_SHORTEST / took)))
        for session, took in zip((dense, sparse), warm, strict=True)
    ]
    order = random.Random(seed)
    pairs: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while len(pairs) < _FEWEST or (time.perf_counter() < end and len(pairs) < _MOST):
        if order.random() < 0.5:
            first = calls[0]()
            pairs.append((first, calls[1]()))
        else:
            second = calls[1]()
            pairs.append((calls[0](), second))
    ratios = sorted(second / first for first, second in pairs)
    reach = 0.98 * math.sqrt(len(ratios))
    low, high = (ratios[min(len(ratios) - 1, max(0, round((len(ratios) - 1) / 2 + side * reach)))] for side in (-1, 1))
    times = (median(first for first, _ in pairs) * 1e3, median(second for _, second in pairs) * 1e3)
    return Paired(*times, median(ratios), low, high, len(pairs))
