"""Pruning in several steps, the least that every group keeps, and what the steps add up to."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import compress
from compress import Plan, Program
from compress.errors import PlanError
from compress.loading import create
from compress.pruning import apply_plan
from compress.schedules import SCHEDULES
from tests.compress.networks import Classifier, captured, warmed


@pytest.fixture(scope="module")
def program() -> Program:
    return captured(warmed(lambda: Classifier(width=32)))


@given(st.sampled_from(sorted(SCHEDULES)), st.floats(0.05, 1.0), st.integers(1, 12))
def test_schedules_go_down_from_the_whole_to_the_target(name: str, share: float, steps: int) -> None:
    path = [SCHEDULES[name](share, step / steps) for step in range(steps + 1)]
    assert path[0] == pytest.approx(1)
    assert path[-1] == pytest.approx(share)
    assert all(after <= before + 1e-12 for before, after in itertools.pairwise(path))


def test_schedules_are_what_they_are_called() -> None:
    path = {name: [round(SCHEDULES[name](0.25, done), 4) for done in (0.5, 1)] for name in SCHEDULES}
    assert path == {"linear": [0.625, 0.25], "geometric": [0.5, 0.25], "cubic": [0.3438, 0.25]}


@pytest.mark.parametrize("schedule", sorted(SCHEDULES))
@pytest.mark.parametrize("measure", ["macs", "params", "ratio"])
def test_steps_reach_the_target_along_the_schedule(program: Program, schedule: str, measure: str) -> None:
    seen = []

    def between(smaller: Program, step: int) -> Program:
        seen.append((step, smaller.count().macs / program.count().macs))
        return smaller

    result = compress.prune(
        program, f"{measure}=0.4", steps=3, schedule=schedule, granularity=1, between=between, scope="local"
    )
    assert abs(float(result.report.achieved.partition("=")[2]) - 0.4) <= 0.0105
    assert result.report.note is None
    assert [step for step, _ in seen] == [1, 2]
    if measure == "macs":
        for step, share in seen:
            assert share == pytest.approx(SCHEDULES[schedule](0.4, step / 3), abs=0.02)


def test_one_plan_and_the_steps_plans_both_replay_the_run(program: Program) -> None:
    result = compress.prune(program, "macs=0.4", steps=3, granularity=2, criterion="random", seed=4)
    at_once = apply_plan(program, result.plan)
    step_by_step = program
    for plan in result.steps:
        step_by_step = apply_plan(step_by_step, Plan.from_json(plan.to_json()))
    assert at_once.fingerprint() == step_by_step.fingerprint() == result.program.fingerprint()
    assert len(result.program.info.plans) == 3
    assert result.program.info.plan_sha256 == result.plan.sha256() == at_once.info.plan_sha256
    assert result.plan.settings["steps"] == 3
    assert [plan.settings["step"] for plan in result.steps] == [1, 2, 3]
    assert [step.verb for step in result.program.info.provenance] == ["prune"] * 3


def test_a_saved_run_in_steps_is_made_again_from_its_reference(tmp_path: object) -> None:
    torch.manual_seed(0)
    network = create("models:digitsnet")
    small = compress.prune(network, "macs=0.4", steps=2, granularity=2).program
    small.save(f"{tmp_path}/small.safetensors")
    again = compress.load(f"{tmp_path}/small.safetensors")
    assert again.fingerprint() == small.fingerprint()


@pytest.mark.parametrize(
    "reference", ["models:resnet20", "timm:test_vit", pytest.param("torchvision:densenet121", marks=pytest.mark.slow)]
)
def test_steps_add_up_on_padded_shortcuts_heads_and_concatenations(reference: str) -> None:
    """Heads and the width inside them share an axis; groups may come apart or join as they shrink."""
    torch.manual_seed(0)
    network = create(reference, input_size=(3, 32, 32))
    result = compress.prune(network, "macs=0.3", steps=3, schedule="cubic", granularity=2, criterion="random")
    assert apply_plan(network, result.plan).fingerprint() == result.program.fingerprint()
    widths = {group.name: group.width for group in network.groups() if group.kind != "frozen"}
    for name, kept in result.plan.groups.items():
        assert len(kept.keep) >= np.floor(0.1 * widths[name]), "the least is a share of the first network's width"


def test_the_criterion_looks_at_the_network_anew_in_each_step(program: Program) -> None:
    """What 'between' does to the weights decides what the next step takes."""

    def spare(first: bool) -> tuple[int, ...]:
        def between(smaller: Program, step: int) -> Program:
            weight = smaller.tensors["block.0.weight"]
            half = weight.shape[0] // 2
            with torch.no_grad():
                (weight[:half] if first else weight[half:]).mul_(1000)
            return smaller

        twin = program.copy()
        keep = {"block.0": 0.5}
        result = compress.prune(twin, "macs=0.5", steps=2, keep=keep, granularity=1, between=between)
        return result.plan.groups["block.0"].keep

    assert len(spare(True)) == len(spare(False)) == 32
    assert set(spare(True)) != set(spare(False))


def test_keep_ratios_are_exact_in_the_end(program: Program) -> None:
    for steps in (2, 3, 5):
        result = compress.prune(program, "macs=0.5", steps=steps, keep={"block.0": 0.25, "stem.0": 0.75}, granularity=4)
        assert len(result.plan.groups["block.0"].keep) == 16
        assert len(result.plan.groups["stem.0"].keep) == 24


def test_between_must_give_the_same_network_back(program: Program) -> None:
    with pytest.raises(PlanError, match="another network after step 1"):
        compress.prune(program, steps=2, between=lambda smaller, step: program)


def test_a_dry_run_takes_all_steps_and_leaves_everything_alone(program: Program) -> None:
    before = program.fingerprint()

    def never(smaller: Program, step: int) -> Program:
        raise AssertionError

    result = compress.prune(program, "macs=0.5", steps=3, dry_run=True, between=never)
    assert result.program is program
    assert len(result.steps) == 3
    assert result.plan == compress.prune(program, "macs=0.5", steps=3).plan
    assert program.fingerprint() == before
    assert not program.info.plans


def test_data_given_as_an_iterator_last_for_all_steps(program: Program) -> None:
    batches = [(program.example_inputs(batch=8, seed=seed), torch.arange(8) % 10) for seed in range(2)]
    once = compress.prune(program, steps=2, criterion="taylor", data=iter(batches), dry_run=True)
    assert once.plan == compress.prune(program, steps=2, criterion="taylor", data=batches, dry_run=True).plan


@pytest.mark.parametrize("scope", ["global", "local"])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("min_keep", [0.3, 0.5])
def test_every_group_keeps_its_least(program: Program, scope: str, steps: int, min_keep: float) -> None:
    result = compress.prune(program, "macs=0.02", scope=scope, steps=steps, min_keep=min_keep, granularity=1)
    widths = {group.name: group.width for group in program.groups() if group.kind != "frozen"}
    for name, kept in result.plan.groups.items():
        assert len(kept.keep) == np.ceil(min_keep * widths[name]), "the target is out of reach: each is at its least"
    assert result.plan.groups.keys() == widths.keys()
    assert result.report.note is not None


def test_without_a_least_one_is_left(program: Program) -> None:
    result = compress.prune(program, "macs=0.0001", min_keep=0, granularity=1)
    assert {len(kept.keep) for kept in result.plan.groups.values()} == {1}


def test_a_keep_ratio_overrules_the_least(program: Program) -> None:
    result = compress.prune(program, "macs=0.6", keep={"block.0": 0.125}, min_keep=0.5, granularity=1)
    assert len(result.plan.groups["block.0"].keep) == 8


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"min_keep": 1.5}, "min_keep 1.5 is not between 0 and 1"),
        ({"min_keep": -0.1}, "not between 0 and 1"),
        ({"steps": 0}, "0 steps are not a positive whole number"),
        ({"schedule": "quick"}, "there is no schedule 'quick'"),
        ({"aggregation": "median"}, "there is no aggregation"),
        ({"normalisation": "softmax"}, "there is no normalisation"),
    ],
)
def test_wrong_settings_are_refused(program: Program, arguments: dict[str, object], said: str) -> None:
    with pytest.raises(PlanError, match=said):
        compress.prune(program, **arguments)  # type: ignore[arg-type]
