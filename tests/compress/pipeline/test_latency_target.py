"""Pruning to a measured latency: predict, export, measure, correct."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import cast

import pytest

import compress
from compress import Program
from compress.allocation import Target
from compress.errors import InputError, PlanError, UnavailableError
from compress.loading import create
from compress.pipeline import latency_target
from compress.pipeline.latency_target import Round, Search, corrected, widths_of
from compress.pipeline.place import Paired, Place
from compress.pipeline.reporter import Silent
from tests.compress.latency.proportional import Proportional

RUNTIME = "onnxruntime-cpu"


def round_of(asked: float, measured: float) -> Round:
    return Round(asked, asked, Paired(measured, None, None, 16, 1.0, measured, "1", "a processor"))


def test_one_round_is_corrected_in_proportion() -> None:
    assert corrected([round_of(0.5, 0.6)], 0.5) == pytest.approx(0.5 * 0.5 / 0.6)
    assert corrected([round_of(0.9, 0.5)], 0.8) == 1.0


def test_rounds_on_one_side_are_corrected_as_they_went() -> None:
    rounds = [round_of(share, 0.8 * share**0.5) for share in (0.9, 0.7)]
    assert corrected(rounds, 0.4) == pytest.approx(0.25)
    noisy = [round_of(0.9, 0.7), round_of(0.7, 0.699)]
    assert 0.69 * 0.7 < corrected(noisy, 0.65) < 0.7


def test_between_a_round_above_and_one_below_it_goes_between() -> None:
    rounds = [round_of(0.5, 0.6), round_of(0.3, 0.4), round_of(0.7, 0.9)]
    assert corrected(rounds, 0.5) == pytest.approx(0.4)
    assert corrected(rounds, 0.75) == pytest.approx(0.6)


@pytest.mark.parametrize("curve", [0.3, 1.0, 3.0])
def test_a_prediction_that_is_off_is_corrected(monkeypatch: pytest.MonkeyPatch, curve: float) -> None:
    """Files are not measured here, but taken to take what their multiply-accumulates say to another power."""
    program, model = create("models:digitsnet"), Proportional(0.05)

    def exported(network: Program, path: object, *_: object) -> Program:
        return network

    def measured(base: Program, new: Program, *_: object) -> Paired:
        share = 0.1 + 0.9 * (new.count().macs / base.count().macs) ** curve
        return Paired(share, share, share, 99, 2.0, 2.0 * share, "1", "a processor")

    monkeypatch.setattr(latency_target, "_exported", exported)
    monkeypatch.setattr(latency_target, "paired", measured)
    result, report = search(program, model, "latency=0.6@onnxruntime-cpu", granularity=1).settled()
    assert report.is_met
    assert abs(report.rounds[report.chosen].off(0.6)) <= 0.03
    assert len(report.rounds) > 1 or curve == 1.0
    assert report.rounds[report.chosen].measured.ratio == measured(program, result.program).ratio


def search(program: Program, model: Proportional, target: str, granularity: int = 2, seconds: float = 0.3) -> Search:
    def choose(asked: Target) -> compress.PruneResult:
        return compress.prune(program, asked, granularity=granularity, latency_model=model)

    return Search(program, Target.parse(target), Place(RUNTIME), model, choose, Silent(), seconds)


def test_files_are_measured_and_the_nearest_round_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency_target, "ROUNDS", 2)
    program, model = create("models:digitsnet"), Proportional(0.2)
    asked = search(program, model, f"latency=0.7@{RUNTIME}")
    result, report = asked.settled()
    assert 1 <= len(report.rounds) <= 2
    nearest = min(abs(one.off(0.7)) for one in report.rounds)
    assert abs(report.rounds[report.chosen].off(0.7)) == nearest
    assert report.measured is not None
    assert report.measured.low is not None
    assert report.measured.low <= report.measured.ratio <= cast("float", report.measured.high)
    bound = asked._bound
    predicted = float(bound.milliseconds(widths_of(result.plan, asked._analysis))[0]) / bound.dense
    assert report.predicted == pytest.approx(predicted)
    document = json.loads(json.dumps(report.to_json()))
    assert document["place"]["runtime"] == RUNTIME
    assert document["measured"]["ratio"] == report.measured.ratio
    for word in ("predicted", "measured", RUNTIME, "1 thread", "99 %"):
        assert word in str(report)


def test_a_target_below_the_floor_is_refused_before_anything_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> Paired:
        raise AssertionError("measured")

    monkeypatch.setattr(latency_target, "paired", never)
    program = create("models:digitsnet")
    with pytest.raises(PlanError, match=r"cannot be met: as predicted, the floor is latency=0\.[6-9]"):
        search(program, Proportional(2.0), f"latency=0.2@{RUNTIME}").settled()


def test_a_dry_run_predicts_and_says_so() -> None:
    program = create("models:digitsnet")
    _, report = search(program, Proportional(0.1), f"latency=0.5@{RUNTIME}").predicted()
    assert report.predicted == pytest.approx(0.5, abs=0.0105)
    assert "not measured" in str(report)
    assert report.to_json()["measured"] is None


def test_places_that_are_not_there_are_refused() -> None:
    Place(RUNTIME).check()
    with pytest.raises(InputError, match="no runtime is called 'abacus'; known are onnxruntime-cpu"):
        Place("abacus").check()
    with pytest.raises(UnavailableError, match="onnxruntime-coreml cannot be used") as raised:
        Place("onnxruntime-coreml").check()
    assert raised.value.exit_code == 4
    with pytest.raises(InputError, match="no device"):
        replace(Place(RUNTIME), device="nowhere").check()
