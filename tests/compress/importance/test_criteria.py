"""Scores worked out by hand on a network of three layers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

import compress
from compress import Program
from compress.axes.analysis import analyse
from compress.errors import PlanError
from compress.importance import CRITERIA, Criterion, ScoreContext, atom_scores, criterion


@pytest.fixture(scope="module")
def program() -> Program:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(6)
    nn.init.uniform_(norm.weight, -1, 1)
    layers = nn.Sequential(nn.Conv2d(3, 6, 3), norm, nn.ReLU(), nn.Conv2d(6, 5, 1), nn.Flatten())
    network = nn.Sequential(layers, nn.Linear(5 * 4, 4))
    return compress.capture(network, (torch.randn(2, 3, 4, 4),))


def scores(program: Program, name: str, *, seed: int = 0, batches: object = None) -> dict[str, NDArray[np.float64]]:
    analysis = analyse(program)
    context = ScoreContext(analysis, batches, seed)  # type: ignore[arg-type]
    return atom_scores(criterion(name), context, analysis.prunable)


def test_magnitudes_are_norms_of_what_makes_and_what_reads_a_channel(program: Program) -> None:
    weights = {name: tensor.detach().double() for name, tensor in program.tensors.items()}
    makes, reads = weights["0.0.weight"].flatten(1), weights["0.3.weight"].transpose(0, 1).flatten(1)
    l1 = (makes.abs().sum(1) + reads.abs().sum(1)) / 2
    l2 = (makes.norm(dim=1) + reads.norm(dim=1)) / 2
    np.testing.assert_allclose(scores(program, "l1")["0.0"], l1.numpy(), rtol=1e-6)
    np.testing.assert_allclose(scores(program, "l2")["0.0"], l2.numpy(), rtol=1e-6)


def test_a_flattened_channel_is_scored_over_all_its_features(program: Program) -> None:
    weights = {name: tensor.detach().double() for name, tensor in program.tensors.items()}
    reads = weights["1.weight"].reshape(4, 5, 4).transpose(0, 1).flatten(1)
    l2 = (weights["0.3.weight"].flatten(1).norm(dim=1) + reads.norm(dim=1)) / 2
    np.testing.assert_allclose(scores(program, "l2")["0.3"], l2.numpy(), rtol=1e-6)


def test_batch_norm_scales_score_only_what_they_scale(program: Program) -> None:
    found = scores(program, "bn-scale")
    assert set(found) == {"0.0"}
    np.testing.assert_allclose(found["0.0"], program.tensors["0.1.weight"].detach().abs().numpy(), rtol=1e-6)


def test_taylor_is_weight_times_gradient(program: Program) -> None:
    inputs, target = program.example_inputs(batch=4), torch.arange(4)
    found = scores(program, "taylor", batches=[(inputs, target)])
    twin = program.copy()
    F.cross_entropy(twin.module()(*inputs), target).backward()

    def product(name: str) -> torch.Tensor:
        tensor = twin.tensors[name]
        assert tensor.grad is not None
        return (tensor.detach() * tensor.grad).double()

    makes, reads = product("0.0.weight").flatten(1).sum(1), product("0.3.weight").sum((0, 2, 3))
    np.testing.assert_allclose(found["0.0"], ((makes.abs() + reads.abs()) / 2).numpy(), rtol=1e-4)
    assert all(tensor.grad is None for tensor in program.tensors.values()), "scoring leaves no gradients behind"


def test_taylor_is_the_mean_over_batches(program: Program) -> None:
    batch = (program.example_inputs(batch=4), torch.arange(4))
    once = scores(program, "taylor", batches=[batch])
    twice = scores(program, "taylor", batches=iter([batch, batch]))
    np.testing.assert_allclose(once["0.0"], twice["0.0"], rtol=1e-6)


def test_taylor_refuses_what_it_cannot_rank(program: Program) -> None:
    inputs = program.example_inputs(batch=4)
    for target in (torch.zeros(3, dtype=torch.long), torch.full((4,), 9), "labels"):
        with pytest.raises(PlanError, match="cannot compute cross-entropy") as caught:
            scores(program, "taylor", batches=[(inputs, target)])
        assert "\n" not in str(caught.value)
    still = compress.capture(nn.Linear(4, 4).requires_grad_(False), (torch.randn(2, 4),))
    with pytest.raises(PlanError, match="can be trained"):
        scores(still, "taylor", batches=[])


def test_random_scores_depend_on_the_seed_alone(program: Program) -> None:
    first, second, other = (scores(program, "random", seed=seed)["0.0"] for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
    assert np.unique(first).size == 6


def test_batch_norm_scale_needs_batch_norm() -> None:
    program = compress.capture(nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 2)), (torch.randn(2, 4),))
    with pytest.raises(PlanError, match="needs batch normalisation"):
        scores(program, "bn-scale")


def test_names_are_those_of_the_command_line() -> None:
    assert set(CRITERIA) == {"l1", "l2", "bn-scale", "taylor", "random"}
    for name, kind in CRITERIA.items():
        assert isinstance(criterion(name), kind)
        assert issubclass(kind, Criterion)
        assert kind.needs_data == (name == "taylor")
    with pytest.raises(PlanError, match="there is no criterion 'L2'"):
        criterion("L2")
