"""Re-estimated statistics are those of nn.BatchNorm2d(momentum=None), whatever the graph."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import compress
from compress import Program
from compress.data import DataSource
from compress.training import evaluate, reestimate_batch_norm


class Branches(nn.Module):
    """Momenta that differ, a norm that is used twice, and one that is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.slow = nn.BatchNorm2d(8, momentum=0.003)
        self.fast = nn.BatchNorm2d(8, momentum=0.9)
        self.frozen = nn.BatchNorm2d(8)
        self.wide = nn.BatchNorm1d(8 * 64, momentum=0.37)
        self.last = nn.Linear(8 * 64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.fast(self.slow(self.first(x)).relu() * 50 + 1000)
        x = nn.functional.batch_norm(
            x, self.frozen.running_mean, self.frozen.running_var, self.frozen.weight, self.frozen.bias, training=False
        )
        return self.last(self.wide(x.flatten(1)).relu())


def _norms(module: nn.Module) -> dict[str, nn.Module]:
    return {name: m for name, m in module.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)}


def test_statistics_equal_a_cumulative_average(digits: DataSource) -> None:
    torch.manual_seed(0)
    net = Branches()
    net.frozen.running_mean.normal_()  # type: ignore[union-attr]
    program = compress.capture(net, (torch.zeros(2, 1, 8, 8),))
    weights = {name: value.clone() for name, value in program.state_dict().items()}
    assert reestimate_batch_norm(program, digits, batches=5, batch_size=100, seed=3) == 6

    for name, norm in _norms(net).items():
        if name != "frozen":
            norm.reset_running_stats()  # type: ignore[operator]
            norm.momentum = None  # type: ignore[assignment]
    net.train()
    batches = digits.training.epoch(100, seed=3, epoch=0)
    with torch.no_grad():
        for _ in range(5):
            net(*next(batches).inputs)
    found = program.state_dict()
    for name, value in net.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            torch.testing.assert_close(found[name], value, rtol=2e-5, atol=1e-5, msg=name)
        elif not name.endswith("num_batches_tracked"):
            assert torch.equal(found[name], weights[name]), name


def test_a_norm_used_twice_gets_the_weighted_average(digits: DataSource) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(1, momentum=0.2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(self.norm(x) * 3 + 4).flatten(1)

    program = compress.capture(Twice(), (torch.zeros(2, 1, 8, 8),))
    reestimate_batch_norm(program, digits, batches=1, batch_size=1000)
    (images,) = next(digits.training.epoch(1000, seed=0, epoch=0)).inputs
    # (1 - m) * m of the first use and m of the second, over their sum; the second use has mean 4 and variance 9.
    mean = (0.8 * float(images.mean()) + 4) / 1.8
    variance = (0.8 * float(images.var()) + 9) / 1.8
    assert float(program.state_dict()["norm.running_mean"]) == pytest.approx(mean, rel=1e-3)
    assert float(program.state_dict()["norm.running_var"]) == pytest.approx(variance, rel=1e-3)


def test_spoiled_statistics_are_repaired(network: Program, digits: DataSource) -> None:
    reestimate_batch_norm(network, digits, batches=8)
    before = evaluate(network, digits)
    for name, value in network.tensors.items():
        if name.endswith("running_mean"):
            value.copy_(torch.linspace(-3, 3, len(value)))
    assert evaluate(network, digits)["loss"] != pytest.approx(before["loss"], abs=1e-3)
    reestimate_batch_norm(network, digits, batches=8)
    assert evaluate(network, digits)["loss"] == pytest.approx(before["loss"], abs=1e-6)


def test_a_network_without_batch_norm_is_left_alone(plain_network: Program, digits: DataSource) -> None:
    before = plain_network.fingerprint()
    assert reestimate_batch_norm(plain_network, digits, batches=2) == 0
    assert plain_network.fingerprint() == before
