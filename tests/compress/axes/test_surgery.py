"""Cutting: what is left is exactly what was kept, in both graphs, and a wrong cut is never returned."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from compress import Program
from compress.axes import trace as tracing
from compress.axes.analysis import analyse
from compress.axes.surgery import kept_atoms, remove
from compress.errors import PlanError
from tests.compress.networks import Classifier, captured, image, warmed


@pytest.fixture(scope="module")
def program() -> Program:
    return captured(warmed(Classifier))


def test_keeping_everything_changes_nothing(program: Program) -> None:
    analysis = analyse(program)
    same = remove(analysis, {group.name: np.arange(group.width) for group in analysis.prunable})
    assert same.fingerprint() == program.fingerprint()
    assert same.structure() == program.structure()
    assert remove(analysis, {}).fingerprint() == program.fingerprint()


def test_a_cut_is_independent_of_its_source(program: Program) -> None:
    smaller = remove(analyse(program), {"stem.0": np.array([1, 4, 5])})
    before = program.fingerprint()
    with torch.no_grad():
        for tensor in smaller.tensors.values():
            tensor.zero_()
    assert program.fingerprint() == before
    assert smaller.tensors["stem.0.weight"].shape == (3, 3, 3, 3)


def test_one_channel_is_enough_for_every_group(family: Callable[[str], Program]) -> None:
    for name in ("mobilenet_v3", "dense", "regnet_y"):
        analysis = analyse(family(name))
        least = remove(analysis, {group.name: np.array([group.width // 2]) for group in analysis.prunable})
        assert all(size > 0 for tensor in least.tensors.values() for size in tensor.shape)
        for training in (False, True):
            assert least.module(training=training)(*least.example_inputs(batch=3)).shape == (3, 10)


def test_cutting_in_two_steps_equals_cutting_at_once(program: Program) -> None:
    analysis = analyse(program)
    once = remove(analysis, {"stem.0": np.array([2, 5, 9]), "block.0": np.array([0, 7, 8, 31])})
    first = remove(analysis, {"stem.0": np.array([1, 2, 5, 9, 11])})
    second = remove(analyse(first), {"stem.0": np.array([1, 2, 3]), "block.0": np.array([0, 7, 8, 31])})
    assert second.fingerprint() == once.fingerprint()


def test_frozen_atoms_are_always_kept(program: Program) -> None:
    analysis = analyse(program)
    kept = kept_atoms(analysis, {group.name: np.array([0]) for group in analysis.prunable})
    assert kept[analysis.atoms.frozen].all()
    assert kept.sum() == analysis.atoms.frozen.sum() + len(analysis.prunable)


def test_types_buffers_and_flags_stay(program: Program) -> None:
    smaller = remove(analyse(program), {"stem.0": np.array([0, 3])})
    assert smaller.tensors["stem.1.num_batches_tracked"] == program.tensors["stem.1.num_batches_tracked"]
    assert smaller.requires_grad == program.requires_grad
    assert {name: tensor.dtype for name, tensor in smaller.tensors.items()} == {
        name: tensor.dtype for name, tensor in program.tensors.items()
    }
    assert smaller.outputs == program.outputs
    assert all(tensor.is_contiguous() for tensor in smaller.tensors.values())


def test_a_cut_that_does_not_run_is_refused(family: Callable[[str], Program], monkeypatch: pytest.MonkeyPatch) -> None:
    program = family("resnext")
    monkeypatch.delitem(tracing._REWRITE, torch.ops.aten.conv2d.default)  # group counts stay as they were
    analysis = analyse(program)
    before = program.fingerprint()
    with pytest.raises(PlanError, match="does not run after the cut") as caught:
        remove(analysis, {group.name: np.arange(1) for group in analysis.prunable})
    assert "\n" not in str(caught.value)
    assert program.fingerprint() == before


def test_masked_training_continues_after_the_cut(program: Program) -> None:
    smaller = remove(analyse(program), {"block.0": np.arange(0, 32, 3)})
    module = smaller.module(training=True)
    optimizer = torch.optim.SGD(module.parameters(), 0.05)
    losses = []
    for step in range(8):
        optimizer.zero_grad()
        loss = module(image(8)).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        assert step < 8
    assert losses[-1] < losses[0]
