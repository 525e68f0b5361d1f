"""``granularity`` as a staircase: each group in the steps that pay, and targets met all the same."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

import compress
from compress import Program
from compress.allocation import Ladder, Target, allocate
from compress.axes.analysis import analyse
from compress.latency.staircase import Stairs
from compress.layer_kinds import kinds_by_group
from tests.compress.latency.stairs import staircase
from tests.compress.networks import Classifier, captured, warmed
from tests.compress.test_allocation import group


def reached(result: compress.PruneResult) -> float:
    return float(result.report.achieved.partition("=")[2])


@pytest.fixture(scope="module")
def program() -> Program:
    return captured(warmed(lambda: Classifier(width=64)))


@pytest.mark.parametrize("name", ["resnet_basic", "mobilenet_v2"])
@pytest.mark.parametrize("target", ["macs=0.5", "params=0.6", "macs=0.3"])
@pytest.mark.parametrize("block", [8, 16])
def test_targets_are_met_in_steps_that_pay(
    family: Callable[[str], Program], name: str, target: str, block: int
) -> None:
    network = family(name)
    result = compress.prune(network, target, granularity=staircase(block), dry_run=True)
    assert abs(reached(result) - float(target.partition("=")[2])) <= 0.0105, result.report.note
    groups = {group.name: group for group in network.groups()}
    assert set(result.report.steps) == {group.name for group in network.groups() if group.kind != "frozen"}
    for name, kept in result.plan.groups.items():
        step, cell = result.report.steps[name].step, groups[name].cell
        assert len(kept.keep) * cell % step == 0, (name, step)


@pytest.mark.parametrize("granularity", [1, 4, 8])
def test_stairs_of_one_step_choose_what_the_number_chooses(program: Program, granularity: int) -> None:
    same = staircase(granularity, granularity)
    for target in ("macs=0.5", "params=0.7"):
        one = compress.prune(program, target, granularity=granularity, dry_run=True)
        assert one.report.steps == {}
        assert compress.prune(program, target, granularity=same, dry_run=True).plan.sha256() == one.plan.sha256()


def test_a_narrow_group_stays_whole_until_the_target_takes_it() -> None:
    class Stem(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 16, 3, padding=1)
            self.wide = nn.Conv2d(16, 128, 1)
            self.head = nn.Linear(128, 10)

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.head(self.wide(self.stem(image).relu()).relu().mean((2, 3)))
            return found

    network = captured(Stem())
    easy = compress.prune(network, "macs=0.7", granularity=staircase(16), dry_run=True)
    assert "stem" not in easy.plan.groups
    assert easy.report.steps["stem"].step == 16
    assert "saves no time" in easy.report.steps["stem"].reason
    hard = compress.prune(network, "macs=0.2", granularity=staircase(16), dry_run=True)
    assert abs(reached(hard) - 0.2) <= 0.0105
    assert hard.report.steps["stem"].step < 16
    assert "takes less of it" in hard.report.steps["stem"].reason


def test_the_step_is_the_largest_of_the_layers_that_a_width_runs_through(program: Program) -> None:
    stairs = staircase(4, 4, linear=Stairs(32, 4, 1.0, 0.0))
    steps = compress.prune(program, "macs=0.8", granularity=stairs, dry_run=True).report.steps
    kinds = kinds_by_group(analyse(program))
    assert any("linear layer" in own for own in kinds.values())
    for name, own in kinds.items():
        assert steps[name].step == (32 if "linear layer" in own else 4), name
        assert ("linear layer" in steps[name].reason) == ("linear layer" in own)


def test_kinds_of_layers(family: Callable[[str], Program]) -> None:
    kinds = kinds_by_group(analyse(family("mobilenet_v2")))
    assert ["1x1 convolution", "depthwise convolution"] in [sorted(own) for own in kinds.values()]
    assert all(kinds.values())


def test_several_steps_and_the_class_itself_take_stairs(program: Program) -> None:
    torch.manual_seed(0)
    module = Classifier(width=64)
    stepped = compress.prune(program, "macs=0.5", granularity=staircase(16), steps=3, dry_run=True)
    assert abs(reached(stepped) - 0.5) <= 0.0105
    eager = compress.prune(captured(module), "macs=0.5", granularity=staircase(16), eager=module)
    assert abs(reached(eager) - 0.5) <= 0.0105
    eager.plan.apply_to(module)


def test_the_plan_says_what_steps_were_asked_for(program: Program) -> None:
    result = compress.prune(program, granularity=staircase(16), dry_run=True)
    assert str(result.plan.settings["granularity"]).startswith("auto: onnxruntime-cpu 1.0, 1 thread")


def test_a_ladder_by_name_is_that_of_its_number() -> None:
    one = group(40)
    for step in (1, 4, 8, 16):
        named, plain = Ladder(one, {"layer": step}, 0.2), Ladder(one, step, 0.2)
        assert named.rungs.tolist() == plain.rungs.tolist()


def test_allocation_takes_a_step_for_each_group(program: Program) -> None:
    analysis = analyse(program)
    steps = {group.name: 4 * 2 ** (at % 3) for at, group in enumerate(analysis.prunable)}
    scores = {group.name: torch.rand(group.width).double().numpy() for group in analysis.prunable}
    found = allocate(
        analysis.sizes, analysis.prunable, scores, Target("macs", 0.5), scope="global", granularity=steps,
        fixed_ratios={},
    )  # fmt: skip
    for one, width in zip(analysis.prunable, found.widths.tolist(), strict=True):
        assert width % steps[one.name] == 0 or width == one.width
