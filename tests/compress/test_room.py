"""Room on huge pages is an ordinary tensor."""

from __future__ import annotations

import pickle

import pytest
import torch

from compress import room


@pytest.mark.parametrize("shape", [(3, 4), (1200, 1100), ()])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool])
def test_shape_type_and_contents(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    made = room.empty(shape, torch.zeros(1, dtype=dtype)).fill_(1)
    assert (tuple(made.shape), made.dtype, made.is_contiguous()) == (shape, dtype, True)
    assert made.untyped_storage().nbytes() == made.numel() * made.element_size()
    assert bool((made == 1).all())
    assert torch.equal(pickle.loads(pickle.dumps(made)), made)


def test_it_outlives_what_made_it_and_can_be_trained() -> None:
    weight = torch.nn.Parameter(room.empty((1100, 1100), torch.zeros(1)).fill_(0.5))
    (weight * weight).sum().backward()
    assert weight.grad is not None
    assert float(weight.grad[0, 0]) == 1.0
    other = room.empty((1100, 1100), weight).fill_(2.0)
    assert float(weight.detach().max()) == 0.5
    assert float(other.detach().min()) == 2.0
