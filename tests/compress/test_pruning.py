"""``compress.prune``: targets are met, plans replay to the bit, wrong requests change nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import compress
from compress import Plan, Program
from compress.errors import PlanError
from compress.loading import create
from compress.pruning import apply_plan
from tests.compress.networks import Classifier, Heads, captured, image, warmed

CRITERIA = ("l1", "l2", "bn-scale", "taylor", "random")


@pytest.fixture(scope="module")
def program() -> Program:
    return captured(warmed(lambda: Classifier(width=32)))


@pytest.fixture(scope="module")
def data(program: Program) -> list[Any]:
    return [(program.example_inputs(batch=8, seed=seed), torch.arange(8) % 10) for seed in range(2)]


def reached(result: compress.PruneResult) -> float:
    return float(result.report.achieved.partition("=")[2])


@pytest.mark.parametrize("name", ["resnet_basic", "mobilenet_v2"])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_reaches_every_target(family: Callable[[str], Program], name: str, criterion: str) -> None:
    network = family(name)
    batch = [(network.example_inputs(batch=4), torch.arange(4))]
    for scope, target, granularity in (
        ("global", "macs=0.5", 8),
        ("local", "macs=0.3", 4),
        ("global", "params=0.4", 1),
        ("local", "ratio=0.6", 2),
    ):
        result = compress.prune(
            network, target, criterion=criterion, scope=scope, granularity=granularity, data=batch, dry_run=True
        )
        wanted = float(target.partition("=")[2])
        assert abs(reached(result) - wanted) <= 0.0105, (scope, target, granularity)
        assert result.report.note is None
        for layer in result.report.layers:
            depthwise = "depthwise" in layer.kind
            assert layer.width_after % granularity == 0 or layer.width_after == layer.width_before or depthwise


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet_basic", "mobilenet_v2", "resnet20_a", "regnet_y"])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_the_whole_grid_of_requests(family: Callable[[str], Program], name: str, criterion: str) -> None:
    network = family(name)
    batch = [(network.example_inputs(batch=4), torch.arange(4))]
    for scope in ("global", "local"):
        for measure in ("macs", "params", "ratio"):
            for granularity in (1, 2, 4, 8):
                for share in (0.25, 0.5, 0.75):
                    result = compress.prune(
                        network, f"{measure}={share}", criterion=criterion, scope=scope, granularity=granularity,
                        data=batch, dry_run=True,
                    )  # fmt: skip
                    assert abs(reached(result) - share) <= 0.0105 or result.report.note is not None


def test_the_figures_are_those_of_the_cut_program(program: Program) -> None:
    result = compress.prune(program, "macs=0.5", granularity=4)
    count = result.program.count()
    assert count.macs == result.report.after.macs
    assert result.report.before == program.count()
    assert result.report.achieved == f"macs={count.macs / program.count().macs:.3f}"
    assert result.report.requested == "macs=0.5"
    for layer in result.report.layers:
        weight = result.program.tensors[f"{layer.name}.weight"]
        assert weight.shape[0] == layer.width_after


def test_what_cannot_be_reached_is_said(program: Program) -> None:
    result = compress.prune(program, "macs=0.01")
    assert reached(result) > 0.01
    assert result.report.note is not None
    assert result.report.note.startswith("the floor is macs=")
    coarse = compress.prune(program, "macs=0.9", granularity=32)
    assert coarse.report.note is not None or abs(reached(coarse) - 0.9) <= 0.01


def test_the_same_request_gives_the_same_bytes_and_leaves_the_source_alone(program: Program) -> None:
    before = program.fingerprint()
    first = compress.prune(program, criterion="random", seed=3)
    second = compress.prune(program, criterion="random", seed=3)
    other = compress.prune(program, criterion="random", seed=4)
    assert first.program.fingerprint() == second.program.fingerprint()
    assert first.plan.sha256() == second.plan.sha256()
    assert first.plan.sha256() != other.plan.sha256()
    assert program.fingerprint() == before
    assert not program.info.plans


def test_a_plan_replays_to_the_bit(program: Program, tmp_path: Path) -> None:
    result = compress.prune(program, granularity=2)
    result.plan.save(tmp_path / "plan.json")
    loaded = Plan.load(tmp_path / "plan.json")
    assert loaded == result.plan
    for replayed in (apply_plan(program, loaded), compress.prune(program, plan=loaded).program):
        assert replayed.fingerprint() == result.program.fingerprint()
        assert replayed.info.plan == result.program.info.plan


def test_a_dry_run_cuts_nothing(program: Program) -> None:
    result = compress.prune(program, dry_run=True)
    assert result.program is program
    assert result.report.after.macs < result.report.before.macs
    assert result.plan.groups


def test_kept_channels_are_those_with_the_largest_norm(program: Program) -> None:
    """Between two convolutions the score of a channel is the mean of the norms of what makes it and what reads it."""
    result = compress.prune(program, "ratio=0.5", scope="local", granularity=1)
    weights = program.tensors
    made = weights["block.0.weight"].flatten(1).norm(dim=1)
    read = weights["block.3.weight"].transpose(0, 1).flatten(1).norm(dim=1)
    kept = result.plan.groups["block.0"].keep
    expected = (made + read).detach().argsort(descending=True)[: len(kept)].sort().values
    assert list(kept) == expected.tolist()


def test_kept_weights_are_the_original_ones(program: Program) -> None:
    result = compress.prune(program, "ratio=0.5", scope="local", granularity=1)
    block, stem = (list(result.plan.groups[name].keep) for name in ("block.0", "stem.0"))
    found, source = result.program.tensors, program.tensors
    assert torch.equal(found["block.0.weight"], source["block.0.weight"][block][:, stem])
    assert torch.equal(found["block.1.running_var"], source["block.1.running_var"][block])
    assert torch.equal(found["head.bias"], source["head.bias"])


def test_pruning_twice_in_a_row_keeps_the_history(program: Program) -> None:
    once = compress.prune(program, "macs=0.7", granularity=2).program
    twice = compress.prune(once, "macs=0.7", granularity=2).program
    assert abs(twice.count().macs / program.count().macs - 0.49) < 0.02
    assert len(twice.info.plans) == 2
    assert [step.verb for step in twice.info.provenance] == ["prune", "prune"]
    assert twice.info.provenance[0].arguments["target"] == "macs=0.7"
    assert twice.module(training=True)(image()).shape == (2, 10)


def test_ignored_layers_stay_and_say_why(program: Program) -> None:
    result = compress.prune(program, "macs=0.7", ignore=("block.*",), granularity=1)
    rows = {row.name: row for row in result.report.layers}
    assert rows["block.0"].width_after == rows["block.0"].width_before
    assert (rows["block.0"].status, rows["block.0"].reason) == ("protected", "--ignore block.*")
    assert rows["stem.0"].status == "pruned"
    assert (rows["head"].status, rows["head"].reason) == ("protected", "network output")


def test_a_ratio_counts_ignored_channels_as_kept(program: Program) -> None:
    result = compress.prune(program, "ratio=0.8", ignore=("stem.0",), granularity=1)
    assert abs(reached(result) - 0.8) <= 0.0105
    assert result.report.note is None


def test_keep_ratios_are_the_callers(program: Program) -> None:
    keep = {"block.*": 0.9, "block.0": 0.25}
    result = compress.prune(program, "macs=0.3", keep=keep, granularity=2)
    assert len(result.plan.groups["block.0"].keep) == 16
    assert abs(reached(result) - 0.3) <= 0.0105
    beyond = compress.prune(program, "macs=0.9", keep=keep, granularity=2)
    assert len(beyond.plan.groups["block.0"].keep) == 16
    assert "the keep ratios given" in (beyond.report.note or "")
    alone = compress.prune(program, "macs=0.99", keep={"stem.0": 0.5}, granularity=1)
    assert len(alone.plan.groups["stem.0"].keep) == 16


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"target": "half"}, "write macs=0.5"),
        ({"target": "macs=much"}, "has no number"),
        ({"target": "macs=0"}, "not between 0 and 1"),
        ({"target": "macs=nan"}, "not between 0 and 1"),
        ({"target": "params=1.5"}, "not between 0 and 1"),
        ({"target": "energy=0.5"}, "not understood"),
        ({"target": "latency=0.5"}, "names no runtime"),
        ({"criterion": "magic"}, "choose one of"),
        ({"scope": "some"}, "global or local"),
        ({"granularity": 0}, "positive whole number"),
        ({"ignore": ("layer9.*",)}, "matches no layer"),
        ({"keep": {"nothing": 0.5}}, "matches no layer"),
        ({"keep": {"stem.0": 0.0}}, "not between 0 and 1"),
        ({"keep": {"stem.0": 2.0}}, "not between 0 and 1"),
        ({"criterion": "taylor"}, "needs data"),
        ({"criterion": "taylor", "data": []}, "no batch"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(program: Program, request_: dict[str, Any], said: str) -> None:
    before = program.fingerprint()
    with pytest.raises(PlanError, match=said) as caught:
        compress.prune(program, **request_)
    assert "\n" not in str(caught.value)
    assert program.fingerprint() == before


def edited(plan: Plan, change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(plan.to_json()))
    change(document)
    return document


EDITS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "wrong width": (lambda d: d["groups"]["stem.0"].update(width=31), "expects 31 channels"),
    "out of range": (lambda d: d["groups"]["stem.0"]["keep"].append(32), "position 32 of 'stem.0' is out of range"),
    "negative": (lambda d: d["groups"]["stem.0"]["keep"].insert(0, -1), "position -1"),
    "repeated": (lambda d: d["groups"]["stem.0"].update(keep=[1, 1, 2]), "not sorted or repeat"),
    "unsorted": (lambda d: d["groups"]["stem.0"].update(keep=[3, 1]), "not sorted or repeat"),
    "empty": (lambda d: d["groups"]["stem.0"].update(keep=[]), "keeps nothing"),
    "unknown group": (lambda d: d["groups"].update(other={"width": 4, "keep": [0]}), "no prunable group"),
    "frozen group": (lambda d: d["groups"].update(head={"width": 10, "keep": [0]}), "frozen: network output"),
    "fractions": (lambda d: d["groups"]["stem.0"].update(keep=[1.0]), "whole numbers"),
    "truth values": (lambda d: d["groups"]["stem.0"].update(keep=[True]), "whole numbers"),
    "text": (lambda d: d["groups"]["stem.0"].update(keep="all"), "whole numbers"),
    "no width": (lambda d: d["groups"]["stem.0"].pop("width"), "whole number 'width'"),
    "group of another type": (lambda d: d["groups"].update({"stem.0": 3}), "whole number"),
    "newer": (lambda d: d.update(version=99), "this tool reads 1"),
    "no version": (lambda d: d.pop("version"), "this tool reads 1"),
    "another format": (lambda d: d.update(format="x"), "not a pruning plan"),
    "no groups": (lambda d: d.pop("groups"), "not a pruning plan"),
    "huge": (lambda d: d["groups"]["stem.0"].update(keep=[10**30]), "out of range"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_plan_is_checked_before_anything_is_cut(program: Program, edit: str) -> None:
    change, said = EDITS[edit]
    plan = compress.prune(program, dry_run=True).plan
    before = program.fingerprint()
    with pytest.raises(PlanError, match=said) as caught:
        apply_plan(program, Plan.from_json(edited(plan, change)))
    assert "\n" not in str(caught.value)
    assert program.fingerprint() == before


class Deeper(Classifier):
    """The same groups, and one more layer that is in none of them."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.first = nn.BatchNorm2d(3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return super().forward(self.first(image))


def test_a_plan_for_another_network_with_the_same_widths_is_taken_and_that_is_said(
    program: Program, tmp_path: Path
) -> None:
    plan = compress.prune(program, "macs=0.5", dry_run=True).plan
    other = compress.prune(captured(Deeper(width=32)), plan=plan).report
    assert other.note == "the plan was made for another network; its groups have the same widths here"
    program.save(tmp_path / "net.pt2")
    assert compress.prune(compress.load(tmp_path / "net.pt2"), plan=plan).report.note is None


def test_a_plan_for_another_network_is_refused(program: Program) -> None:
    plan = compress.prune(captured(warmed(Classifier))).plan
    with pytest.raises(PlanError, match="expects 16 channels"):
        apply_plan(program, plan)


def test_auxiliary_heads_are_pruned_with_the_body() -> None:
    result = compress.prune(captured(warmed(Heads)), "ratio=0.5", granularity=1)
    assert result.program.tensors["extra.weight"].shape == (5, 6)
    assert [value.shape for value in result.program.module(training=True)(image())] == [(2, 5), (2, 5)]


def test_weights_that_are_not_finite_are_named() -> None:
    broken = captured(warmed(Classifier))
    with torch.no_grad():
        broken.tensors["block.0.weight"][3] = float("nan")
    with pytest.raises(PlanError, match=r"not finite in 'stem\.0'"):
        compress.prune(broken)


def test_a_network_with_nothing_to_prune_says_so() -> None:
    result = compress.prune(compress.capture(nn.Linear(6, 4), (torch.randn(2, 6),)), "macs=0.5")
    assert result.report.note is not None
    assert result.report.achieved == "macs=1.000"
    assert result.report.reachable == 0.0


def test_a_network_without_multiplications_says_so() -> None:
    result = compress.prune(compress.capture(nn.BatchNorm1d(6), (torch.randn(2, 6),)), "params=0.5")
    assert result.report.note is not None


def test_the_report_states_what_is_reachable(program: Program) -> None:
    report = compress.prune(program, dry_run=True).report
    assert 0.9 < report.reachable < 1.0
    assert not report.unknown_operators


def test_taylor_keeps_what_the_loss_needs() -> None:
    """A channel that the head does not read cannot change the loss, however large its weights are."""
    program = captured(warmed(Classifier))
    with torch.no_grad():
        program.tensors["head.weight"][:, 4:] = 0
        program.tensors["block.3.weight"][4:] *= 100
    batches = [(program.example_inputs(batch=8), torch.arange(8))]
    loss = F.cross_entropy(program.module()(*batches[0][0]), batches[0][1]).detach()
    chosen = compress.prune(
        program, "macs=0.99", criterion="taylor", data=batches, keep={"block.3": 0.25}, granularity=1
    )
    name = next(name for name, kept in chosen.plan.groups.items() if "block.3" in kept.layers)
    assert chosen.plan.groups[name].keep == (0, 1, 2, 3)
    after = F.cross_entropy(chosen.program.module()(*batches[0][0]), batches[0][1]).detach()
    assert float((after - loss).abs()) < 0.5


def test_a_keep_ratio_overruled_by_ignore_is_said() -> None:
    program = create("models:resnet20")  # the shortcuts tie the stages' widths together
    result = compress.prune(program, ignore=("layer1.*",), keep={"conv1": 0.25}, granularity=4)
    assert result.report.note is not None
    assert "--keep does not apply to" in result.report.note
    assert "--ignore layer1.*" in result.report.note
