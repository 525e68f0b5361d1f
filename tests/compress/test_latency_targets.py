"""Targets in latency, as far as a cost model that is handed in goes: nothing is measured here."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

import compress
from compress import Program
from compress.allocation import Target, parse_targets
from compress.axes.analysis import analyse
from compress.errors import PlanError
from tests.compress.latency.proportional import Proportional
from tests.compress.networks import Classifier, captured, warmed

RUNTIME = "onnxruntime-cpu"


@pytest.fixture(scope="module")
def program() -> Program:
    return captured(warmed(lambda: Classifier(width=64)))


def predicted(program: Program, model: Proportional, result: compress.PruneResult) -> float:
    analysis = analyse(program)
    bound = model.bind(analysis)
    widths = [
        len(result.plan.groups[one.name].keep) if one.name in result.plan.groups else one.width
        for one in analysis.prunable
    ]
    return float(bound.milliseconds(np.array([widths]))[0]) / bound.dense


def test_targets_in_latency_are_read_and_written() -> None:
    assert Target.parse("latency=0.60@openvino") == Target("latency", 0.6, "openvino")
    absolute = Target.parse(" latency=12ms@onnxruntime-cpu")
    assert (absolute.milliseconds, absolute.runtime, math.isnan(absolute.share)) == (12.0, RUNTIME, True)
    for text in ("latency=0.6@openvino", "latency=12ms@onnxruntime-cpu"):
        assert str(Target.parse(text)) == text
    both = parse_targets("latency=0.6@openvino,macs=0.5")
    assert [target.measure for target in both] == ["latency", "macs"]
    assert parse_targets(both) == both
    assert absolute.of_dense(48.0).share == 0.25
    assert Target("macs", 0.5).of_dense(48.0) == Target("macs", 0.5)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("latency=0.6", "names no runtime"),
        ("latency=0.6@", "names no runtime"),
        ("latency=@openvino", "no number"),
        ("latency=fast@openvino", "no number"),
        ("latency=1.5@openvino", "between 0 and 1"),
        ("latency=12@openvino", "between 0 and 1"),
        ("latency=0ms@openvino", "above 0 ms"),
        ("latency=infms@openvino", "above 0 ms"),
        ("latency=nan@openvino", "between 0 and 1"),
        ("latency=0.5@openvino,latency=0.6@openvino", "given 2 targets"),
    ],
)
def test_targets_without_sense_are_refused(text: str, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        parse_targets(text)


@pytest.mark.parametrize("name", ["resnet_basic", "mobilenet_v2"])
@pytest.mark.parametrize("model", [Proportional(), Proportional(0.05, curve=0.6), Proportional(block=16)])
def test_the_predicted_latency_is_met(family: Callable[[str], Program], name: str, model: Proportional) -> None:
    network = family(name)
    for share in (0.7, 0.5):
        result = compress.prune(network, f"latency={share}@{RUNTIME}", latency_model=model, granularity=4, dry_run=True)
        assert abs(predicted(network, model, result) - share) <= 0.0105, result.report.note
        assert result.report.achieved == f"latency={predicted(network, model, result):.3f} (predicted)"


def test_latency_is_met_together_with_other_targets(program: Program) -> None:
    model = Proportional(0.2)
    targets = (f"latency=0.6@{RUNTIME}", "params=0.5")
    result = compress.prune(program, targets, latency_model=model, granularity=1, dry_run=True)
    assert result.report.note is None
    assert abs(predicted(program, model, result) - 0.6) <= 0.0105
    assert float(result.report.achieved.rpartition("=")[2]) == pytest.approx(0.5, abs=0.0105)


def test_what_saves_no_time_comes_back(program: Program) -> None:
    model = Proportional(block=16)
    result = compress.prune(program, f"latency=0.5@{RUNTIME}", latency_model=model, granularity=1, dry_run=True)
    short = [len(kept.keep) % 16 for kept in result.plan.groups.values() if kept.width >= 32]
    assert short
    assert not any(short)


def test_steps_reach_the_same_latency(program: Program) -> None:
    model = Proportional(0.1)
    result = compress.prune(
        program, f"latency=0.5@{RUNTIME}", latency_model=model, granularity=2, steps=3, dry_run=True
    )
    assert abs(predicted(program, model, result) - 0.5) <= 0.0105


def test_a_latency_below_the_floor_says_what_makes_the_floor_up(program: Program) -> None:
    result = compress.prune(program, f"latency=0.1@{RUNTIME}", latency_model=Proportional(1.0), dry_run=True)
    (shortfall,) = result.report.shortfalls
    assert (shortfall.measure, shortfall.obstacle) == ("latency", "floor")
    assert shortfall.lowest > 0.5
    assert shortfall.causes[0].layer == "start of a run"
    assert "the floor is latency=" in str(result.report.note)


def test_a_latency_without_a_model_that_fits_is_refused(program: Program) -> None:
    with pytest.raises(PlanError, match="compress calibrate"):
        compress.prune(program, f"latency=0.5@{RUNTIME}")
    with pytest.raises(PlanError, match="another runtime"):
        compress.prune(program, "latency=0.5@openvino", latency_model=Proportional())
    with pytest.raises(PlanError, match="milliseconds"):
        compress.prune(program, f"latency=5ms@{RUNTIME}", latency_model=Proportional())
    with pytest.raises(PlanError, match="as it is, less than"):
        Target.parse(f"latency=5ms@{RUNTIME}").of_dense(4.0)
