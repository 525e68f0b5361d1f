"""What people are told of a network adds up to what the engine does."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch
from torch import nn

import compress
from compress import Program
from compress.axes.analysis import analyse
from compress.errors import PlanError
from compress.explanation import Explanation, explain
from compress.prune_report import reachable_macs
from tests.compress.networks import Classifier, captured, warmed


@pytest.fixture(scope="module")
def classifier() -> Program:
    return captured(warmed(Classifier))


def explained(program: Program, *ignore: str) -> Explanation:
    return explain(analyse(program), ignore)


class Upwards(nn.Module):
    """A transposed convolution, grouped ones, and attention over what comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 8, 2, stride=2)
        self.grouped = nn.Conv2d(8, 16, 3, groups=4)
        self.qkv = nn.Linear(16, 48)
        self.out = nn.Linear(16, 16)
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.grouped(torch.relu(self.up(x))).flatten(2).transpose(1, 2)
        query, key, value = self.qkv(x).unflatten(2, (3, 4, 4)).permute(2, 0, 3, 1, 4).unbind(0)
        y = nn.functional.scaled_dot_product_attention(query, key, value)
        x = self.norm(x + self.out(y.transpose(1, 2).flatten(2)))
        result: torch.Tensor = self.head(x.mean(1))
        return result


@pytest.mark.parametrize("name", ["dense", "digitsnet", "resnext", "upwards"])
def test_layers_and_groups_agree_with_the_engine(name: str, family: Callable[[str], Program]) -> None:
    program = compress.capture(Upwards(), (torch.zeros(2, 3, 4, 4),)) if name == "upwards" else family(name)
    analysis = analyse(program)
    found = explain(analysis)
    count = program.count()
    assert [(layer.name, layer.macs) for layer in found.layers] == [(one.name, one.macs) for one in count.layers]
    assert found.macs == sum(layer.macs for layer in found.layers)
    assert found.reachable == pytest.approx(reachable_macs(analysis), abs=1e-6)
    assert [(group.name, group.width) for group in found.groups] == [(one.name, one.width) for one in analysis.groups]
    for layer in found.layers:
        assert 0 <= layer.macs_left <= layer.macs
        assert all(layer.name in found.groups[position].layers for position in layer.groups)
    assert json.loads(json.dumps(found.to_json())) == found.to_json()


def test_what_a_width_accounts_for_is_what_cutting_it_saves(classifier: Program) -> None:
    found = explained(classifier)
    for group in found.groups:
        if not group.shrinks:
            assert group.macs == 0
            continue
        result = compress.prune(
            classifier, target="ratio=1.0", keep=dict.fromkeys(group.layers, 1 / group.width), granularity=1
        )
        assert result.report.before.macs - result.report.after.macs == group.macs


def test_ignored_layers_are_protected_and_cost_reach(classifier: Program) -> None:
    free, held = explained(classifier), explained(classifier, "block.*")
    by_name = {group.name: group for group in held.groups}
    assert by_name["block.0"].status == "protected"
    assert by_name["block.0"].reason == "--ignore block.*"
    assert by_name["head"].status == "protected"
    assert by_name["head"].reason == "network output"
    assert by_name["stem.0"].status == "exact"
    assert held.reachable < free.reachable
    shares = {layer.name: layer.macs_left / layer.macs for layer in held.layers}
    assert shares["block.0"] > {layer.name: layer.macs_left / layer.macs for layer in free.layers}["block.0"]
    with pytest.raises(PlanError, match="matches no layer"):
        explained(classifier, "blocks.*")


def test_a_network_that_multiplies_nothing_can_be_explained() -> None:
    found = explained(compress.capture(nn.ReLU(), (torch.zeros(2, 4),)))
    assert (found.macs, found.reachable, found.layers) == (0, 0.0, ())
