"""Labels, ties and what makes atoms exchangeable."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import compress
from compress import Program
from compress.axes.analysis import analyse
from compress.axes.labels import FIXED, Labels, fixed
from tests.compress.families import FAMILIES
from tests.compress.networks import Tied, captured
from tests.compress.proofs import prove


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=30), st.sets(st.integers(0, 11)))
def test_ties_close_transitively_and_freezing_spreads(pairs: list[tuple[int, int]], frozen: set[int]) -> None:
    labels = Labels()
    made = labels.fresh(12)
    for left, right in pairs:
        labels.tie(made[[left]], made[[right]], "tied")
    for index in frozen:
        labels.freeze(made[[index]], f"reason {index}")
    atoms = labels.resolve()
    reachable = np.eye(12, dtype=bool)
    for left, right in pairs:
        reachable[left, right] = reachable[right, left] = True
    for _ in range(12):
        reachable = (reachable.astype(int) @ reachable.astype(int)) > 0
    found = atoms.of(made)
    assert np.array_equal(found[:, None] == found[None, :], reachable)
    for index in range(12):
        reason = atoms.reason(int(found[index]))
        reasons = {f"reason {other}" for other in frozen if reachable[index, other]}
        assert (reason in reasons) if reasons else reason is None


def test_a_tie_repeated_very_often_is_still_a_tie() -> None:
    labels = Labels()
    left, right = labels.fresh(2), labels.fresh(2)
    for _ in range(256):
        labels.tie(left, right, "again")
    atoms = labels.resolve()
    assert np.array_equal(atoms.of(left), atoms.of(right))


def test_a_partner_that_never_changes_freezes() -> None:
    labels = Labels()
    made = labels.fresh(3)
    labels.tie(made, np.array([FIXED, *labels.fresh(2)]), "beside the input")
    atoms = labels.resolve()
    assert [atoms.reason(int(atom)) for atom in atoms.of(made)] == ["beside the input", None, None]
    assert atoms.frozen[atoms.of(fixed(5))].all()


def test_axes_of_different_lengths_cannot_be_tied() -> None:
    labels = Labels()
    with pytest.raises(AssertionError, match="axes of 2 and 3"):
        labels.tie(labels.fresh(2), labels.fresh(3), "wrong")


@pytest.mark.parametrize("name", FAMILIES)
def test_every_parameter_is_in_a_group_or_frozen_with_a_reason(family: Callable[[str], Program], name: str) -> None:
    """Nothing is silent: each index of each layer's width is in some group (in two where widths multiply)."""
    program = family(name)
    analysis = analyse(program)
    for layer in program.count().layers:
        assert layer.weight is not None
        seen = np.zeros(program.tensors[layer.weight].shape[0], int)
        for group in analysis.groups:
            for member in group.members:
                if (member.tensor, member.dim) == (layer.weight, 0):
                    np.add.at(seen, member.indices.ravel(), 1)
        assert (seen >= 1).all(), layer.name
    assert all(group.reason for group in analysis.groups if group.kind == "frozen")
    assert len({group.name for group in analysis.prunable}) == len(analysis.prunable)


def test_groups_come_in_the_order_of_the_network_and_name_all_their_layers(
    family: Callable[[str], Program],
) -> None:
    groups = family("resnet20_b").groups()
    first = groups[0]
    assert first.name == "conv1"
    layers = [name for name in first.producers if "conv" in name]
    assert layers == ["conv1", "layer1.0.conv2", "layer1.1.conv2", "layer1.2.conv2"]
    assert (first.width, first.cell, first.kind, first.reason) == (16, 1, "exact", None)


def test_padded_shortcuts_split_a_width_into_what_differs(family: Callable[[str], Program]) -> None:
    """Option A pads 16 channels to 32: the middle ones are tied to the first stage, the outer ones are not."""
    widths = {}
    for group in analyse(family("resnet20_a")).prunable:
        for member in group.members:
            if (member.tensor, member.dim) == ("layer2.0.conv2.weight", 0):
                widths[group.name] = member.indices.size
    assert sorted(widths.values()) == [16, 16]
    assert "conv1" in widths


def test_a_flattened_channel_is_one_atom_of_many_features() -> None:
    layers = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 16, 4))
    (group,) = analyse(compress.capture(layers, (torch.randn(2, 3, 4, 4),))).prunable
    features = next(member for member in group.members if member.tensor == "3.weight")
    assert features.dim == 1
    assert np.array_equal(features.indices, np.arange(96).reshape(6, 16))


class HalfPadded(nn.Module):
    """Two convolution groups that hold equally many padded channels, one in front, the other behind."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1)
        self.grouped = nn.Conv2d(12, 8, 1, groups=2)
        self.head = nn.Conv2d(8, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        padded = F.pad(torch.relu(self.stem(x)), (0, 0, 0, 0, 2, 2))
        result: torch.Tensor = self.head(torch.relu(self.grouped(padded))).mean((2, 3))
        return result


def test_cells_that_hold_the_same_in_another_order_are_not_exchangeable() -> None:
    proof = prove(captured(HalfPadded()))
    proof.check()
    cells = [group for group in proof.analysis.prunable if group.cell == 4]
    assert [(group.width, group.producers) for group in cells] == [(1, ("stem", "grouped"))] * 2


class Twins(nn.Module):
    """Two convolution groups that hold the same in the same order: they may change places."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1)
        self.grouped = nn.Conv2d(8, 8, 1, groups=2)
        self.head = nn.Conv2d(8, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.head(torch.relu(self.grouped(torch.relu(self.stem(x))))).mean((2, 3))
        return result


def test_convolution_groups_lose_whole_groups_or_the_same_position_in_each() -> None:
    proof = prove(captured(Twins()))
    proof.check()
    found = [(group.name, group.width, group.members[0].indices.tolist()) for group in proof.analysis.prunable]
    assert found == [
        ("stem", 4, [[0, 4], [1, 5], [2, 6], [3, 7]]),
        ("stem#2", 2, [[0, 1, 2, 3], [4, 5, 6, 7]]),
        ("grouped", 4, [[0, 4], [1, 5], [2, 6], [3, 7]]),
    ]


def test_tied_weights_appear_under_one_name() -> None:
    names = {member.tensor for group in analyse(captured(Tied())).groups for member in group.members}
    assert "first.weight" in names
    assert "second.weight" not in names


def test_a_tensor_that_nothing_uses_is_frozen_with_that_reason() -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used = nn.Linear(4, 4)
            self.idle = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.used(x)
            return result

    program = compress.capture(Idle(), (torch.randn(2, 4),))
    analysis = analyse(program)
    atom = int(analysis.atoms.of(analysis.stored["idle.weight"][0])[0])
    assert analysis.atoms.reason(atom) == "not used by the network"
    assert compress.prune(program).program.fingerprint() == program.fingerprint()
