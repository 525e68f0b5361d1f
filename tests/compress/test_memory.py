"""Peak activation memory against numbers worked out by hand, and against storages watched while a network runs."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

import compress
from compress import Program
from compress.memory import Timeline
from compress.module import compile_forward
from compress.running import Running
from tests.compress.networks import Classifier, Tied, captured

FLOAT = 4


class Watch(TorchFunctionMode):
    """After every operator, the bytes of the storages that Python still holds, the Program's own left out."""

    def __init__(self, program: Program) -> None:
        super().__init__()
        self._stored = [tensor.untyped_storage() for tensor in program.tensors.values()]
        self._held: dict[int, tuple[weakref.ref[torch.UntypedStorage], int]] = {}
        self.peak = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if isinstance(function, torch._ops.OpOverload):
            self._see((args, result))
            self.peak = max(self.peak, sum(size for held, size in self._held.values() if held() is not None))
        return result

    def _see(self, value: Any) -> None:
        if isinstance(value, (list, tuple)):
            for item in value:
                self._see(item)
        elif isinstance(value, torch.Tensor):
            with torch._C.DisableTorchFunction():
                storage = value.untyped_storage()
            if all(storage._cdata != own._cdata for own in self._stored):
                self._held[storage._cdata] = (weakref.ref(storage), storage.nbytes())


def watched(program: Program) -> int:
    """The peak found by running the evaluation graph's code, which lets go of each value after its last use."""
    forward, watch = compile_forward(program.graphs[False]), Watch(program)
    with torch.no_grad(), watch:
        forward(program.module(), program.example_inputs(batch=1)[0])  # a starred tuple would hold the input
    return watch.peak


def peak(module: nn.Module, *shape: int) -> int:
    return compress.capture(module, (torch.randn(2, *shape),)).count().memory


class Steps(nn.Module):
    def __init__(self, run: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self._run = run

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._run(x)


@pytest.mark.parametrize(
    ("run", "floats"),
    [
        (lambda x: x.exp(), 2 * 12),
        (lambda x: x.exp().sin(), 2 * 12),  # the input is freed before the second operator
        (lambda x: x.exp() + x, 3 * 12),
        (lambda x: x.exp().sin() + x, 3 * 12),
        (lambda x: x.exp().sum(1), 2 * 12),
        (lambda x: x.reshape(-1, 6).exp(), 2 * 12),  # a view costs nothing
        (lambda x: x.transpose(1, 2).reshape(-1, 12) + 1, 2 * 12),  # this one has to copy, then the input is free
        (lambda x: x.transpose(1, 2).reshape(-1, 12) + x.flatten(1), 3 * 12),
        (lambda x: F.relu(x.exp(), inplace=True), 2 * 12),
        (lambda x: x.exp().chunk(2, 1)[0].sin(), 2 * 12),
    ],
)
def test_worked_out_by_hand(run: Callable[[torch.Tensor], torch.Tensor], floats: int) -> None:
    assert peak(Steps(run), 4, 3) == FLOAT * floats
    assert watched(compress.capture(Steps(run), (torch.randn(2, 4, 3),))) == FLOAT * floats


def test_a_slice_keeps_the_whole_buffer() -> None:
    class Cut(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            first = x.exp()[:, :1]
            return first.sin() + first

    assert peak(Cut(), 8) == FLOAT * (8 + 8)
    assert watched(compress.capture(Cut(), (torch.randn(2, 8),))) == FLOAT * (8 + 8)


def test_parameters_and_what_is_a_view_of_them_are_not_counted() -> None:
    assert peak(nn.Linear(5, 3, bias=False), 5) == FLOAT * (5 + 3)
    assert captured(Tied()).count().memory == FLOAT * (12 * 256 + 12 * 256)  # the rectifier's


def test_types_count_with_their_size() -> None:
    program = captured(Classifier())
    assert program.astype(torch.float64).count().memory == 2 * program.count().memory


@pytest.mark.parametrize("name", ["resnet_basic", "mobilenet_v3", "dense", "resnet20_a"])
def test_the_rule_is_what_running_the_network_needs(family: Callable[[str], Program], name: str) -> None:
    program = family(name)
    assert program.count().memory == watched(program)


def test_the_peak_is_the_sum_of_what_is_alive_then(family: Callable[[str], Program]) -> None:
    program = family("mobilenet_v3")
    buffers = Running.of(program).buffers
    sizes = np.array([float(np.prod(buffer.shape)) * buffer.itemsize for buffer in buffers])
    together = Timeline(buffers).at_peak(sizes)
    assert sizes[together].sum() == program.count().memory
    assert max(buffers[at].first for at in together) <= min(buffers[at].last for at in together)
