"""Loading into a module: exact, or a list of what does not fit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from compress.checkpoints import load_into
from compress.errors import CheckpointError

from ._archives import network


def other() -> nn.Module:
    module = network()
    for parameter in module.parameters():
        nn.init.constant_(parameter, 3.0)
    return module


def test_values_are_copied() -> None:
    module = other()
    load_into(module, network().state_dict(), "net.pt")
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in network().state_dict().items())


def test_only_batch_counters_may_be_missing() -> None:
    state = network().state_dict()
    del state["1.num_batches_tracked"]
    load_into(other(), state, "net.pt")
    del state["1.running_mean"]
    with pytest.raises(CheckpointError, match=r"net\.pt: does not fit .*1 missing: 1\.running_mean"):
        load_into(other(), state, "net.pt")


def test_problems_are_listed_and_nothing_is_changed() -> None:
    module = other()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    state = network().state_dict()
    del state["0.weight"]
    state["5.weight"] = torch.zeros(7, 4)
    state.update({f"more.{index}": torch.zeros(1) for index in range(13)})
    with pytest.raises(CheckpointError) as caught:
        load_into(module, state, "net.pt")
    message = str(caught.value)
    assert "1 missing: 0.weight" in message
    assert "13 extra: more.0, " in message
    assert "more.9 and 3 more" in message
    assert "1 mis-shaped: 5.weight (7, 4) where (2, 4) is expected" in message
    assert "--model" in message
    assert "\n" not in message
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_a_prefix_that_was_stripped_is_given_back() -> None:
    module = nn.ModuleDict({"model": other()})
    load_into(module, network().state_dict(), "net.pt")
    assert torch.equal(module.state_dict()["model.0.weight"], network().state_dict()["0.weight"])


def test_ties_are_filled_in() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[1].weight = module[0].weight
    state = {"0.weight": torch.ones(3, 3), "0.bias": torch.ones(3), "1.bias": torch.ones(3)}
    load_into(module, state, "net.pt")
    assert torch.equal(module.state_dict()["1.weight"], torch.ones(3, 3))
