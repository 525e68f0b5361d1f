"""``program.module()`` is an ordinary module: it trains the Program, switches modes, and can be copied."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from compress import Program
from tests.compress.networks import Classifier, Tied, captured, image, warmed


@pytest.fixture
def program() -> Program:
    return captured(warmed(Classifier))


def test_modes_switch_as_in_any_module(program: Program) -> None:
    module = program.module()
    quiet = module(image())
    assert torch.equal(module(image()), quiet)
    assert module.train() is module
    assert not torch.equal(module(image()), quiet)
    assert torch.equal(module.eval()(image()), program.module()(image()))
    with pytest.raises(TypeError):
        module()


def test_an_ordinary_loop_trains_the_program(program: Program) -> None:
    before = program.fingerprint()
    module = program.module(training=True)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
    x, y = image(16), torch.arange(16) % 10
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = F.cross_entropy(module(x), y)
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 5.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]
    assert program.fingerprint() != before
    assert torch.equal(program.module()(x), module.eval()(x)), "another view sees the trained weights"
    assert int(program.tensors["stem.1.num_batches_tracked"]) > 25


def test_views_have_modes_of_their_own(program: Program) -> None:
    first, second = program.module(training=True), program.module()
    assert first.training
    assert not second.training
    assert first.get_parameter("head.weight") is second.get_parameter("head.weight")


def test_a_copy_is_independent_and_keeps_ties() -> None:
    program = captured(Tied())
    module = program.module(training=True)
    twin = copy.deepcopy(module)
    assert twin.get_parameter("first.weight") is twin.get_parameter("second.weight")
    assert twin.get_parameter("first.weight") is not module.get_parameter("first.weight")
    twin(image()).sum().backward()
    assert program.tensors["first.weight"].grad is None
    with torch.no_grad():
        twin.get_parameter("first.weight").zero_()
    assert float(program.tensors["first.weight"].detach().abs().sum()) > 0
    copied = program.copy()
    assert copied.fingerprint() == program.fingerprint()
    assert copied.tensors["first.weight"] is copied.tensors["second.weight"]
    assert copied.tensors["first.weight"] is not program.tensors["first.weight"]


def test_names_and_flags_are_those_of_the_network() -> None:
    eager = Tied()
    module = captured(eager).module()
    named = dict(module.named_parameters())
    assert set(named) == set(dict(eager.named_parameters()))
    assert {name: p.requires_grad for name, p in named.items()} == {
        name: p.requires_grad for name, p in eager.named_parameters()
    }
    assert set(module.state_dict()) == set(eager.state_dict())


def test_state_dicts_load_strictly(program: Program) -> None:
    module = program.module()
    state = warmed(Classifier).state_dict()
    state["head.bias"] = torch.arange(10.0)
    module.load_state_dict(state)
    assert torch.equal(program.tensors["head.bias"].detach(), torch.arange(10.0))
    with pytest.raises(RuntimeError, match="Missing key"):
        module.load_state_dict({})


def test_moving_to_another_type_moves_the_program(program: Program) -> None:
    module = program.module()
    module.double()
    assert program.dtype == torch.float64
    assert module(image().double()).dtype == torch.float64


def test_hooks_and_parameter_groups_work(program: Program) -> None:
    module = program.module(training=True)
    seen: list[torch.Size] = []
    handle = module.register_forward_hook(lambda _, __, output: seen.append(output.shape))
    module(image(3))
    handle.remove()
    assert seen == [torch.Size([3, 10])]
    matrices = [p for p in module.parameters() if p.ndim > 1]
    assert len(matrices) == 5


def test_automatic_precision_applies(program: Program) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert program.module()(image()).dtype == torch.bfloat16
