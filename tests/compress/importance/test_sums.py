"""Sums in blocks equal sums of the whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compress.importance import _sums
from compress.importance._sums import sums_along


@pytest.mark.parametrize("block", [1, 100, 1 << 16])
@pytest.mark.parametrize("shape", [(7,), (5, 3), (6, 4, 3, 2), (3, 1, 1), (1, 9)])
def test_every_dimension_at_once(monkeypatch: pytest.MonkeyPatch, block: int, shape: tuple[int, ...]) -> None:
    monkeypatch.setattr(_sums, "_BLOCK", block)
    value = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    before = value.clone()
    found = sums_along(value, range(len(shape)), torch.Tensor.square_)
    for dim, size in enumerate(shape):
        wanted = value.double().square().movedim(dim, 0).reshape(size, -1).sum(dim=1)
        np.testing.assert_allclose(found[dim], wanted.numpy(), rtol=1e-14)
    assert torch.equal(value, before)


def test_only_what_is_asked_for_and_any_layout() -> None:
    value = torch.randn(8, 6, generator=torch.Generator().manual_seed(0))
    assert list(sums_along(value, [1], torch.Tensor.abs_)) == [1]
    turned = sums_along(value.t(), [0, 1], torch.Tensor.abs_)
    straight = sums_along(value, [0, 1], torch.Tensor.abs_)
    np.testing.assert_allclose(turned[0], straight[1], rtol=1e-14)
    spread = sums_along(value[:, :1].expand(8, 6), [0], torch.Tensor.abs_)
    np.testing.assert_allclose(spread[0], 6 * value[:, 0].abs().double().numpy(), rtol=1e-14)
