from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from compress.axes.analysis import analyse
from compress.axes.randomise import randomised
from compress.importance import Ranking, ScoreContext, criterion
from compress.program import Program
from compress.search.ordering import largest_first


@pytest.mark.parametrize("name", ["resnet20_a", "dense", "mobilenet_v2"])
def test_channels_in_falling_order_compute_the_same(family: Callable[[str], Program], name: str) -> None:
    program = randomised(family(name), 0).astype(torch.float64)
    ordered = largest_first(program)
    inputs = program.example_inputs(batch=2, seed=1)
    with torch.no_grad():
        before = program.module(training=False).eval()(*inputs)
        after = ordered.module(training=False).eval()(*inputs)
    torch.testing.assert_close(after, before, rtol=1e-9, atol=1e-9)
    analysis = analyse(ordered)
    scores = Ranking(criterion("l2")).scores(ScoreContext(analysis, None, 0), analysis.prunable)
    assert all((np.diff(found) <= 1e-9).all() for found in scores.values())
    assert any(
        not torch.equal(ordered.tensors[name], tensor) for name, tensor in program.tensors.items() if tensor.ndim == 4
    )
