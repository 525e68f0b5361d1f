"""The test as a whole, with a stop-watch that shows made-up times: what is measured is made up, the decision is not."""

from __future__ import annotations

import functools
import itertools
import math
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from deploy.duet import blocks, contest, wealth
from deploy.duet.blocks import Block

Show = Callable[[], float]


class Machine:
    """Times of runs on a machine with bursts of other work, and memory that suits a file better or worse."""

    def __init__(self, seed: int, *, noise: float = 0.05, luck: float = 0.002) -> None:
        self._chance = random.Random(seed)
        self._mood = 0.0
        self._noise = noise
        self._luck = luck

    def load(self, milliseconds: float) -> Show:
        """Load a file; the result returns what the stop-watch shows for its next run."""
        return functools.partial(self._run, milliseconds * math.exp(self._chance.gauss(0, self._luck)))

    def _run(self, milliseconds: float) -> float:
        self._mood = 0.95 * self._mood + self._chance.gauss(0, self._noise)
        stalled = 10.0 if self._chance.random() < 0.05 else 1.0
        return milliseconds * math.exp(self._mood + abs(self._chance.gauss(0, self._noise))) * stalled


@pytest.fixture(autouse=True)
def stop_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (blocks, contest):
        monkeypatch.setattr(module, "time_once", lambda call: call(), raising=False)


def _run(slowdown: float, seed: int = 0, **terms: Any) -> dict[str, Any]:
    machine = Machine(seed)
    asked: dict[str, Any] = {
        "tolerances": {"latency": 0.02},
        "budget": 1.0,
        "alpha": 0.01,
        "fail_alpha": 0.01,
        "seed": seed,
    } | terms
    sides = (functools.partial(machine.load, 1.0), functools.partial(machine.load, 1.0 + slowdown))
    return contest.Contest(*sides, contest.Terms(**asked)).run()


@pytest.mark.parametrize(("slowdown", "status"), [(0.10, "fail"), (0.0, "pass"), (-0.3, "pass")])
def test_clear_cases_are_decided(slowdown: float, status: str) -> None:
    (track,) = _run(slowdown)["tracks"]
    assert track["status"] == status
    assert track["low"] < math.log1p(slowdown) < track["high"]
    assert track["resolution"] is not None


def test_a_slow_down_on_the_tolerance_stays_undecided_and_the_interval_holds_it() -> None:
    (track,) = _run(0.02, budget=0.5)["tracks"]
    assert track["status"] == "inconclusive"
    assert track["low"] < math.log1p(0.02) < track["high"]
    assert track["looks"][-1]["blocks"] == len(track["values"])


def test_bounds_never_widen_from_look_to_look() -> None:
    (track,) = _run(0.02, budget=0.3)["tracks"]
    found = [(look["low"], look["high"]) for look in track["looks"] if look["low"] is not None]
    assert len(found) > 3
    assert all(a[0] <= b[0] and a[1] >= b[1] for a, b in itertools.pairwise(found))


def test_a_tolerance_far_below_what_is_resolved_is_refused_before_the_new_file_is_judged() -> None:
    (track,) = _run(0.5, tolerances={"latency": 1e-9}, budget=0.3)["tracks"]
    assert track["status"] == "unresolvable"
    assert track["values"] == []
    assert track["resolution"] > 1e-9


def test_a_metric_that_cannot_be_resolved_keeps_no_other_from_failing_or_being_judged() -> None:
    slower, equal = (
        _run(change, tolerances={"latency": 0.02, "p90": 1e-9}, budget=5.0)["tracks"] for change in (0.2, 0.0)
    )
    assert slower[0]["status"] == "fail"
    assert [track["status"] for track in equal] == ["pass", "unresolvable"]


def test_a_budget_too_short_for_any_block_decides_nothing_and_says_what_would() -> None:
    found = _run(0.5, budget=1e-9)
    (track,) = found["tracks"]
    assert found["enough"] > 1e-9
    assert track["status"] == "unresolvable"
    assert track["resolution"] is None


def test_a_slower_tail_fails_though_the_usual_run_is_as_fast() -> None:
    machine = Machine(0, noise=0.02)
    chance = random.Random(1)

    def load_with_stalls() -> Show:
        run = machine.load(1.0)
        return lambda: run() * (2.0 if chance.random() < 0.15 else 1.0)

    def load() -> Show:
        run = machine.load(1.0)
        return lambda: min(run(), 1.5)

    terms = contest.Terms({"latency": 0.05, "p90": 0.05}, 3.0, 0.01, 0.005, 0)
    found = contest.Contest(load, load_with_stalls, terms).run()
    latency, tail = found["tracks"]
    assert latency["status"] != "fail"
    assert tail["status"] == "fail"
    assert found["pairs_per_block"] >= 20  # two runs beyond the quantile


@pytest.mark.parametrize("order_effect", [0.0, 0.3])
def test_false_alarms_stay_below_alpha_whatever_the_noise_and_the_order(order_effect: float) -> None:
    """True slow-down = tolerance, noise that hangs together over time, first runs of pairs slower, luck in loading."""
    alpha, trials, wrong = 0.1, 200, 0
    for trial in range(trials):
        machine, chance = Machine(trial, noise=0.1, luck=0.01), random.Random(trial)
        values: list[float] = []
        for _ in range(40):
            runs = [machine.load(1.0), machine.load(1.05)]
            seconds: tuple[list[float], list[float]] = ([], [])
            for _ in range(8):
                for place, index in enumerate(chance.sample((0, 1), 2)):
                    seconds[index].append(runs[index]() * (1 + order_effect * (1 - place)))
            values.append(Block(*seconds).log_ratio("latency"))
            if wealth.wealth(values, math.log1p(0.05), 0.05) >= math.log(1 / alpha):
                wrong += 1
                break
    assert wrong / trials <= alpha


def test_a_block_changes_sign_and_nothing_else_when_the_files_change_places() -> None:
    generator = np.random.default_rng(0)
    first, second = list(generator.lognormal(size=40)), list(generator.lognormal(size=40))
    for metric in ("latency", "p90", "p95"):
        assert Block(first, second).log_ratio(metric) == -Block(second, first).log_ratio(metric)


def test_the_fastest_quarter_scatters_less_than_the_median_where_runs_are_interrupted() -> None:
    def scatter(take: Callable[[Block], float]) -> float:
        values = []
        for seed in range(200):
            chance = np.random.default_rng(seed)
            seconds = np.exp(0.02 * chance.standard_normal((2, 12))) * chance.choice([1.0, 1.15, 9.0], (2, 12))
            values.append(take(Block(list(seconds[0]), list(seconds[1]))))
        return float(np.std(values))

    def by_median(block: Block) -> float:
        return float(np.median(np.log(block.new)) - np.median(np.log(block.base)))

    assert scatter(lambda block: block.log_ratio("latency")) < scatter(by_median)


def test_pairs_in_a_block_pay_for_the_loading_and_leave_room_for_many_blocks() -> None:
    assert contest.pairs_in_block(0.02, 0.002, 60.0, 1) == 20  # loading is a third
    assert contest.pairs_in_block(0.001, 0.002, 60.0, 1) == 8  # a quarter of which is two runs
    assert contest.pairs_in_block(0.2, 0.3, 60.0, 1) == 5  # 32 blocks fit
    assert contest.pairs_in_block(0.2, 0.4, 60.0, 1) == 4  # 18 would, 32 would have fewer pairs
    assert contest.pairs_in_block(0.2, 0.8, 60.0, 1) == 3
    assert contest.pairs_in_block(5.0, 0.4, 60.0, 1) == 1
    assert contest.pairs_in_block(0.001, 0.002, 60.0, 200) == 200


def test_the_clock_stops_a_block_halfway() -> None:
    machine = Machine(0)
    load = functools.partial(machine.load, 1.0)
    assert blocks.measure(load, load, pairs=5, order=random.Random(0), end=time.perf_counter() - 1) is None
