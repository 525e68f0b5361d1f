"""Operators without a rule: named, counted, and with an honest bound on what is out of reach because of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

import compress
from compress import Program
from compress.axes.analysis import analyse
from compress.errors import PlanError
from compress.explanation import explain
from compress.obstacles import find_obstacles

Between = Callable[[torch.Tensor], torch.Tensor]
BESSEL = "aten.special_bessel_j0.default"
I0 = "aten.special_i0.default"


class Chain(nn.Module):
    """Three convolutions, a residual addition and a classifier, with something of one's own between them."""

    def __init__(self, between: Between, *, late: Between = torch.relu) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 16, 3, padding=1)
        self.two = nn.Conv2d(16, 24, 3, padding=1)
        self.three = nn.Conv2d(24, 24, 3, padding=1)
        self.head = nn.Linear(24, 10)
        self.between, self.late = between, late

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.two(self.between(self.one(x)))
        x = x + self.late(self.three(x))
        result: torch.Tensor = self.head(x.mean((2, 3)))
        return result


def program(between: Between, late: Between = torch.relu) -> Program:
    return compress.capture(Chain(between, late=late), (torch.zeros(2, 3, 8, 8),))


def reachable(of: Program) -> int:
    """MACs that go when every group is cut to one atom, found by cutting it."""
    keep = {group.name: 1 / group.width for group in of.groups() if group.kind != "frozen"}
    patterns = {layer: share for group in of.groups() for layer in group.producers if (share := keep.get(group.name))}
    result = compress.prune(of, target="ratio=1.0", keep=patterns, granularity=1)
    return result.report.before.macs - result.report.after.macs


def test_a_network_without_such_operators_has_none() -> None:
    found = find_obstacles(analyse(program(torch.relu)))
    assert found.operators == ()
    assert found.together == 0


def test_the_operator_is_named_with_every_place_where_it_stands() -> None:
    found = find_obstacles(analyse(program(torch.special.i0, torch.special.i0)))
    (one,) = found.operators
    assert one.operator == I0
    assert I0 in one.reason
    assert len(one.places) == 2
    assert all(f"{__name__.rpartition('.')[2]}.py:" in place for place in one.places)


@pytest.mark.parametrize("late", [torch.relu, torch.special.i0], ids=["once", "twice"])
def test_what_a_rule_would_make_reachable_stays_within_the_bound(late: Between) -> None:
    blocked = program(torch.special.i0, late)
    known = program(torch.relu)  # what a rule for this element-wise operator would make of it
    bound = find_obstacles(analyse(blocked)).together
    gained = reachable(known) - reachable(blocked)
    assert 0 < gained <= bound <= blocked.count().macs
    # All that is missing is missing because of this operator: the bound adds up to everything but the last channels.
    assert reachable(blocked) + bound <= blocked.count().macs


def test_several_operators_are_told_apart_and_counted_together() -> None:
    blocked = program(torch.special.i0, torch.special.bessel_j0)
    found = find_obstacles(analyse(blocked))
    assert {one.operator for one in found.operators} == {I0, BESSEL}
    assert [one.macs for one in found.operators] == sorted((one.macs for one in found.operators), reverse=True)
    assert found.together >= max(one.macs for one in found.operators)
    assert found.together >= reachable(program(torch.relu)) - reachable(blocked)


def test_layers_that_are_ignored_do_not_count_as_out_of_reach() -> None:
    blocked = program(torch.special.i0)
    analysis = analyse(blocked)
    every = find_obstacles(analysis, ["*"])  # what layer two reads is then all that a rule could free
    left = round(blocked.count().macs * (1 - explain(analysis, ["*"]).reachable))
    two = next(layer.macs for layer in blocked.count().layers if layer.name == "two")
    assert every.together == two - two // 16
    assert every.together <= left
    with pytest.raises(PlanError, match="nothing_here"):
        find_obstacles(analysis, ["nothing_here"])


def test_the_report_of_pruning_holds_them() -> None:
    blocked = program(torch.special.i0)
    report = compress.prune(blocked, target="macs=0.9", granularity=1).report
    assert report.obstacles == find_obstacles(analyse(blocked))
    assert report.obstacles.operators
