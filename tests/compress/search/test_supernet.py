from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import compress
from compress.search.encoding import encoding_of
from compress.search.supernet import SuperNet
from compress.training.losses import CrossEntropy


def _network(first: int, second: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, first, 3, padding=1), nn.BatchNorm2d(first), nn.ReLU(),
        nn.Conv2d(first, second, 3, padding=1, bias=False), nn.BatchNorm2d(second), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(second, 5),
    )  # fmt: skip


@pytest.fixture
def supernet() -> SuperNet:
    torch.manual_seed(0)
    program = compress.capture(_network(16, 24), (torch.zeros(1, 3, 12, 12),))
    return SuperNet(encoding_of(program, lowest_width=0.1, lowest_density=0.1))


def _batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(8, 3, 12, 12, generator=generator), torch.randint(0, 5, (8,), generator=generator)


def test_learning_gives_the_gradient_of_the_small_network_on_its_slice_alone(supernet: SuperNet) -> None:
    candidate = supernet.encoding.decode(np.array([0.5, 0.3, 1.0, 1.0]))
    small = _network(8, 8)
    whole = supernet.program.tensors
    slices = {name: tuple(slice(size) for size in value.shape) for name, value in small.state_dict().items()}
    small.load_state_dict({name: whole[name][place].detach() for name, place in slices.items()})
    x, y = _batch()
    loss = CrossEntropy()
    expected = loss(small.train()(x), y)
    expected.backward()
    assert supernet.learn(candidate, (x,), y, loss, dense=True) == pytest.approx(float(expected.detach()), abs=1e-6)
    for name, parameter in small.named_parameters():
        found = whole[name].grad
        assert found is not None
        torch.testing.assert_close(found[slices[name]], parameter.grad, atol=1e-6, rtol=1e-5)
        rest = found.clone()
        rest[slices[name]] = 0
        assert not rest.any()


def test_what_a_mask_drops_gets_no_gradient_and_gradients_of_candidates_add_up(supernet: SuperNet) -> None:
    half = supernet.encoding.decode(np.array([1.0, 1.0, 1.0, 0.5]))
    x, y = _batch()
    weight = supernet.program.tensors["3.weight"]
    supernet.learn(half, (x,), y, CrossEntropy(), dense=False)
    assert weight.grad is not None
    kept = supernet.candidate(half).masks["3.weight"].kept
    assert not weight.grad[~kept].any()
    first = weight.grad.clone()
    supernet.learn(half, (x,), y, CrossEntropy(), dense=False)
    torch.testing.assert_close(weight.grad, 2 * first)


def test_candidates_learn_together_and_leave_the_statistics_alone(supernet: SuperNet) -> None:
    random = np.random.default_rng(0)
    grid, x, y = supernet.encoding.grid, *_batch()
    statistics = {name: t.clone() for name, t in supernet.program.tensors.items() if "running" in name}
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.05, momentum=0.9)
    candidates = [supernet.encoding.decode(grid.sample(random)) for _ in range(4)]
    losses = []
    for step in range(60):
        optimizer.zero_grad()
        losses.append(supernet.learn(candidates[step % 4], (x,), y, CrossEntropy(), dense=False))
        optimizer.step()
    assert np.mean(losses[-4:]) < 0.5 * np.mean(losses[:4])
    assert all(torch.equal(supernet.program.tensors[name], before) for name, before in statistics.items())


def test_a_candidate_is_a_network_of_its_own(supernet: SuperNet) -> None:
    candidate = supernet.encoding.decode(np.array([0.5, 0.5, 1.0, 0.5]))
    program = supernet.candidate(candidate)
    assert program.tensors["0.weight"].shape[0] == 8
    assert program.masks["3.weight"].sparsity == pytest.approx(0.5, abs=0.01)
    before = supernet.program.tensors["0.weight"].clone()
    program.tensors["0.weight"].data.zero_()
    assert torch.equal(supernet.program.tensors["0.weight"], before)
