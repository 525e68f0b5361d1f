"""Weight decay on weights only, and a learning rate that is a function of the step."""

from __future__ import annotations

import pytest
import torch

from compress import Program
from compress.training.config import config_of
from compress.training.optimizers import build_optimizer, learning_rate


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_norms_and_biases_do_not_decay(network: Program, optimizer: str) -> None:
    module = network.module(training=True)
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    made = build_optimizer(module.parameters(), config_of(optimizer=optimizer, lr=0.1, weight_decay=0.5))
    for value in module.parameters():
        value.grad = torch.zeros_like(value)
    made.step()
    for name, value in module.named_parameters():
        is_weight = value.ndim >= 2
        assert torch.equal(value, before[name]) != is_weight, name
    assert sum(len(group["params"]) for group in made.param_groups) == len(before)


def test_the_rate_warms_up_linearly_and_falls_as_a_cosine_to_zero() -> None:
    config = config_of(epochs=4, lr=1.0, warmup_epochs=1)
    rates = [learning_rate(config, step, 10) for step in range(40)]
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[10] == 1.0
    assert rates[25] == pytest.approx(0.5)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.01


def test_warm_up_may_last_to_the_end_or_be_left_out() -> None:
    assert learning_rate(config_of(epochs=1, lr=1.0, warmup_epochs=1), 9, 10) == 1.0
    assert learning_rate(config_of(epochs=1, lr=1.0, warmup_epochs=0), 0, 10) == 1.0
