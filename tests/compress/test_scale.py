"""Work grows with the number of operators, not faster: counted, not timed."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import fx

import compress
from compress.allocation import Target, allocate
from compress.meta_calls import forget
from compress.program import Program, TensorSpec
from tests.compress.allocation_models import Chain, chain_groups

_aten = torch.ops.aten


def chain(blocks: int) -> Program:
    """Bottleneck blocks on one stream, put down without capturing."""
    generator = torch.Generator().manual_seed(0)
    tensors = {"stem": torch.randn(16, 3, 1, 1, generator=generator)}
    for block in range(blocks):
        for part, shape in {"in": (16, 16, 1, 1), "out": (16, 16, 1, 1), "scale": (16,), "shift": (16,)}.items():
            tensors[f"blocks.{block}.{part}"] = torch.randn(shape, generator=generator)
    tensors["head"] = torch.randn(4, 16, generator=generator)

    def graph() -> fx.Graph:
        made = fx.Graph()
        image = made.placeholder("image")
        image.meta["input"] = ((2, 3, 4, 4), torch.float32)
        held = {name: made.get_attr(name) for name in tensors}
        x = made.call_function(_aten.conv2d.default, (image, held["stem"]))
        for block in range(blocks):
            at = f"blocks.{block}."
            y = made.call_function(_aten.conv2d.default, (x, held[at + "in"]))
            y = made.call_function(_aten.group_norm.default, (y, 16, held[at + "scale"], held[at + "shift"]))
            y = made.call_function(_aten.conv2d.default, (y, held[at + "out"]))
            x = made.call_function(_aten.add.Tensor, (x, y))
        pooled = made.call_function(_aten.mean.dim, (x, [2, 3]))
        made.output((made.call_function(_aten.linear.default, (pooled, held["head"])),))
        return made

    return Program(
        graphs={False: graph(), True: graph()},
        tensors=tensors,
        parameters=dict.fromkeys(tensors, True),
        transient=(),
        tied={},
        inputs=(TensorSpec("image", (1, 3, 4, 4), "float32"),),
        output_names=("output",),
    )


def calls(program: Program) -> int:
    """How many functions, of Python and of C, pruning to half the MACs calls."""
    forget()
    found = 0

    def met(_: object, event: str, __: object) -> None:
        nonlocal found
        found += event in ("call", "c_call")

    sys.setprofile(met)
    try:
        compress.prune(program, granularity=4)
    finally:
        sys.setprofile(None)
    return found


def test_calls_per_operator_do_not_grow() -> None:
    few, many = chain(20), chain(60)
    calls(few)  # what is imported and made once
    growth = len(many.graphs[False].nodes) / len(few.graphs[False].nodes)
    assert calls(many) < 1.1 * growth * calls(few)


def test_names_of_parameters_are_collected_once() -> None:
    program = chain(1)
    assert program.parameter_names is program.parameter_names


class Counting(Chain):
    """Counts the choices that were evaluated."""

    evaluated = 0

    def relative(self, measure: str, widths: NDArray[Any]) -> NDArray[np.float64]:
        self.evaluated += len(np.atleast_2d(widths))
        return super().relative(measure, widths)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_choices_looked_at_do_not_grow_with_the_groups(share: float) -> None:
    evaluated = []
    for count in (600, 2400):
        generator = np.random.default_rng(0)
        widths = [64] * count
        groups = chain_groups(widths)
        model = Counting(widths, {"macs": generator.uniform(1, 2, count + 1).tolist()})
        scores = {group.name: generator.random(group.width) * generator.random() for group in groups}
        found = allocate(model, groups, scores, Target("macs", share), scope="global", granularity=8, fixed_ratios={})
        assert abs(found.achieved[0] - share) < 0.01
        evaluated.append(model.evaluated)
    assert evaluated[1] < 1.5 * evaluated[0]
