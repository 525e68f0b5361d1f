"""``compress.sensitivity``: one group cut at a time, really, and what was measured is said."""

from __future__ import annotations

import json

import pytest
import torch

import compress
from compress import Plan, Program
from compress.damage import Point
from compress.errors import PlanError
from compress.plan import Kept
from compress.pruning import apply_plan
from tests.compress.networks import Classifier, TwoInputs, captured, warmed


@pytest.fixture(scope="module")
def program() -> Program:
    return captured(warmed(lambda: Classifier(width=32)))


def test_a_point_is_one_group_cut_alone(program: Program) -> None:
    found = compress.sensitivity(program, keep_ratios=(0.5, 0.25))
    groups = {group.name: group for group in program.groups() if group.kind != "frozen"}
    assert [(point.group, point.kept / point.width) for point in found.points] == [
        (name, ratio) for name in groups for ratio in (0.5, 0.25)
    ]
    assert "8 random inputs (seed 0); no data given" in found.measured
    inputs = program.example_inputs(batch=8, seed=0)
    whole = program.module()(*inputs).detach()
    makes, reads = program.tensors["block.0.weight"], program.tensors["block.3.weight"].transpose(0, 1)
    norms = makes.flatten(1).norm(dim=1) + reads.flatten(1).norm(dim=1)
    point = next(point for point in found.points if (point.group, point.kept) == ("block.0", 32))
    kept = tuple(sorted(norms.argsort(descending=True)[:32].tolist()))
    cut = apply_plan(program, Plan({"block.0": Kept(64, kept)}))
    change = (cut.module()(*inputs).detach() - whole).norm() / whole.norm()
    assert point.damage == pytest.approx(float(change), rel=1e-4)
    assert point.figures == {"output_change": point.damage}
    assert point.macs == pytest.approx(cut.count().macs / program.count().macs)


def test_the_network_is_left_alone_and_the_scan_is_repeatable(program: Program) -> None:
    before = program.fingerprint()
    first = compress.sensitivity(program, keep_ratios=(0.5,), seed=3)
    assert compress.sensitivity(program, keep_ratios=(0.5,), seed=3) == first
    assert compress.sensitivity(program, keep_ratios=(0.5,), seed=4) != first
    assert program.fingerprint() == before
    assert json.loads(json.dumps(first.to_json()))["points"][0]["group"] == first.points[0].group


def test_removing_what_nobody_reads_does_no_damage(program: Program) -> None:
    twin = program.copy()
    with torch.no_grad():
        twin.tensors["block.3.weight"][:, 40:] = 0
        twin.tensors["block.0.weight"][40:] = 0
    found = compress.sensitivity(twin, keep_ratios=(0.625, 0.25))
    damage = {(point.group, point.kept): point.damage for point in found.points}
    assert damage["block.0", 40] < 1e-6
    assert damage["block.0", 16] > 1e-2


def test_points_that_are_known_are_not_measured_again(program: Program) -> None:
    whole = compress.sensitivity(program, keep_ratios=(0.5, 0.25))
    made_up = Point("block.0", (), "exact", 64, 32, 0.5, {"output_change": 42.0}, 42.0)
    seen: list[tuple[float, Point]] = []
    found = compress.sensitivity(
        program, keep_ratios=(0.5, 0.25), known=[made_up], progress=lambda share, point: seen.append((share, point))
    )
    assert made_up in found.points
    assert [p for p in found.points if p is not made_up] == [p for p in whole.points if p.key != made_up.key]
    assert [share for share, _ in seen] == pytest.approx([(at + 1) / 6 for at in range(6)])


def test_granularity_and_ignored_layers(program: Program) -> None:
    found = compress.sensitivity(program, keep_ratios=(0.9, 0.8, 0.3), granularity=16, ignore=("block.*",))
    assert [(point.group, point.width, point.kept) for point in found.points] == [("stem.0", 32, 16)]


def test_several_inputs() -> None:
    found = compress.sensitivity(compress.capture(TwoInputs(), (torch.randn(2, 3, 6, 6), torch.randn(2, 6))))
    assert all(point.damage > 0 for point in found.points)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"keep_ratios": ()}, "not between 0 and 1"),
        ({"keep_ratios": (1.0,)}, "not between 0 and 1"),
        ({"granularity": 0}, "positive whole number"),
        ({"granularity": 64, "ignore": ("block.0",)}, "no group can be cut"),
        ({"criterion": "magic"}, "there is no criterion"),
        ({"criterion": "fisher"}, "fisher needs data"),
        ({"aggregation": "median"}, "there is no aggregation"),
        ({"ignore": ("nothing",)}, "matches no layer"),
    ],
)
def test_wrong_requests_are_refused(program: Program, arguments: dict[str, object], said: str) -> None:
    with pytest.raises(PlanError, match=said):
        compress.sensitivity(program, **arguments)  # type: ignore[arg-type]
