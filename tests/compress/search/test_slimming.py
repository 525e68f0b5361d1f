"""A candidate on the shared weights' own memory computes what a network made of it computes, gradients included."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import compress
from compress.axes.randomise import randomised
from compress.program import Program
from compress.search.encoding import Candidate, encoding_of
from compress.search.supernet import SuperNet


class Mobile(nn.Module):
    """Depthwise, grouped, with a literal size: what slicing has to rewrite."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6())
        self.depth = nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1, groups=16, bias=False), nn.BatchNorm2d(16), nn.ReLU6())
        self.point = nn.Sequential(nn.Conv2d(16, 32, 1, bias=False), nn.BatchNorm2d(32))
        self.grouped = nn.Conv2d(32, 32, 3, padding=1, groups=4)
        self.last = nn.Linear(32 * 16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.point(self.depth(self.stem(x)))
        x = x + self.grouped(x)
        return self.last(x.view(x.shape[0], 32 * 16))


def _mobile() -> Program:
    torch.manual_seed(0)
    return compress.capture(Mobile(), (torch.zeros(1, 3, 8, 8),))


def _supernet(program: Program) -> SuperNet:
    return SuperNet(encoding_of(randomised(program, 0), lowest_width=0.2, lowest_density=0.2))


def _candidates(supernet: SuperNet, count: int) -> list[Candidate]:
    random, grid = np.random.default_rng(1), supernet.encoding.grid
    return [supernet.encoding.decode(grid.sample(random)) for _ in range(count)]


@pytest.fixture(params=["mobile", "resnet20_a", "dense", "mobilenet_v2", "resnext"])
def supernet(request: pytest.FixtureRequest, family: Callable[[str], Program]) -> SuperNet:
    return _supernet(_mobile() if request.param == "mobile" else family(request.param))


def test_evaluation_is_that_of_a_network_made_of_it(supernet: SuperNet) -> None:
    inputs = supernet.program.example_inputs(batch=3, seed=2)
    for candidate in _candidates(supernet, 4):
        with torch.no_grad():
            expected = supernet.candidate(candidate).module(training=False).eval()(*inputs)
            torch.testing.assert_close(supernet.slim(candidate, training=False)(*inputs), expected)


def test_training_gives_the_same_gradients_and_leaves_the_shared_statistics_alone(supernet: SuperNet) -> None:
    inputs = supernet.program.example_inputs(batch=4, seed=3)
    shared = supernet.program.tensors
    before = {name: shared[name].clone() for name in shared if name not in supernet.program.parameter_names}
    for candidate in _candidates(supernet, 2):
        small = supernet.candidate(candidate)
        torch.manual_seed(0)  # dropout
        small.module(training=True).train()(*inputs).square().sum().backward()
        torch.manual_seed(0)
        supernet.slim(candidate, training=True)(*inputs).square().sum().backward()
        for name, tensor in small.tensors.items():
            if tensor.grad is None:
                continue
            found = shared[name].grad
            assert found is not None
            torch.testing.assert_close(found.abs().sum(), tensor.grad.abs().sum(), rtol=1e-3, atol=1e-4)
            shared[name].grad = None
    assert all(torch.equal(shared[name], value) for name, value in before.items())


def test_a_density_below_one_multiplies_with_a_mask_and_dense_leaves_it_out(supernet: SuperNet) -> None:
    grid = supernet.encoding.grid
    sparse = supernet.encoding.decode(np.concatenate([grid.high[: len(supernet.encoding.widths)],
                                                      grid.low[len(supernet.encoding.widths) :]]))  # fmt: skip
    inputs = supernet.program.example_inputs(batch=2, seed=4)
    with torch.no_grad():
        whole = supernet.program.module(training=False).eval()(*inputs)
        torch.testing.assert_close(supernet.slim(sparse, training=False, dense=True)(*inputs), whole)
        assert not torch.allclose(supernet.slim(sparse, training=False)(*inputs), whole)
