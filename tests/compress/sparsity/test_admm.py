"""ADMM on a least-squares problem that is small enough to try every choice of blocks."""

from __future__ import annotations

import itertools
from statistics import median

import pytest
import torch
from torch import nn

import compress
from compress.errors import PlanError
from compress.program import Program
from compress.sparsity.admm import Admm

INPUTS, KEPT = 8, 3


@pytest.fixture
def program() -> Program:
    """One block of four outputs for each of eight inputs; a second layer so that the first is not the last."""
    torch.manual_seed(0)
    return compress.capture(
        nn.Sequential(nn.Linear(INPUTS, 4, bias=False), nn.ReLU(), nn.Linear(4, 2)), (torch.zeros(1, INPUTS),)
    )


def _problem(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(INPUTS, INPUTS, generator=generator)
    x = torch.randn(80, INPUTS, generator=generator) @ (torch.eye(INPUTS) + 0.3 * mixing)
    matters = 0.7 ** torch.randperm(INPUTS, generator=generator)
    y = x @ (matters[:, None] * torch.randn(INPUTS, 4, generator=generator))
    y += 0.1 * torch.randn(80, 4, generator=generator)
    return x, y


def _least(x: torch.Tensor, y: torch.Tensor, inputs: list[int]) -> float:
    """The loss of the best weights that use these inputs alone."""
    solution = torch.linalg.lstsq(x[:, inputs], y).solution
    return float((x[:, inputs] @ solution - y).square().mean())


def _trained(program: Program, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, list[float]]:
    weight = nn.Parameter(torch.linalg.lstsq(x, y).solution.T.contiguous())
    admm = Admm(program, {"0.weight": weight}, {"0.weight": KEPT / INPUTS}, rho=1.0)
    optimizer = torch.optim.SGD([weight], lr=0.1)
    apart = []
    for _ in range(60):
        for _ in range(20):
            optimizer.zero_grad()
            (x @ weight.T - y).square().mean().backward()
            admm.draw()
            optimizer.step()
        apart.append(admm.advance())
    return admm.masks()["0.weight"].kept, apart


def test_finds_blocks_nearly_as_good_as_the_best(program: Program) -> None:
    over_best = []
    for seed in range(10):
        x, y = _problem(seed)
        kept, apart = _trained(program, x, y)
        assert (kept.all(dim=0) == kept.any(dim=0)).all()
        chosen = torch.nonzero(kept[0]).flatten().tolist()
        assert len(chosen) == KEPT
        assert apart[-1] < 0.01 * apart[0]
        best = min(_least(x, y, list(choice)) for choice in itertools.combinations(range(INPUTS), KEPT))
        over_best.append(_least(x, y, chosen) / best)
    assert median(over_best) <= 1.05  # choosing blocks is not convex: some problems end in another choice


def test_goes_on_from_its_state(program: Program) -> None:
    weight = nn.Parameter(torch.randn(4, INPUTS, generator=torch.Generator().manual_seed(1)))
    admm = Admm(program, {"0.weight": weight}, {"0.weight": 0.5})
    admm.advance()
    other = Admm(program, {"0.weight": nn.Parameter(weight.detach().clone())}, {"0.weight": 0.5})
    other.restore(admm.state())
    for each in (admm, other):
        each.draw()
    assert weight.grad is not None
    assert admm.advance() == other.advance()


def test_what_makes_no_sense_is_refused(program: Program) -> None:
    weights = {"0.weight": program.tensors["0.weight"]}
    with pytest.raises(PlanError, match="rho"):
        Admm(program, weights, {"0.weight": 0.5}, rho=0.0)
    with pytest.raises(PlanError, match="not among the weights"):
        Admm(program, {}, {"0.weight": 0.5})
    with pytest.raises(PlanError, match="density"):
        Admm(program, weights, {"0.weight": 0.0})
