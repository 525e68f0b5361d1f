"""Slices hold the bits that plain indexing gives, whatever the type and however many dimensions are cut."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compress.axes.slicing import Slicer

_TYPES = (
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.int32,
    torch.uint8,
    torch.bool,
)


@given(st.sampled_from(_TYPES), st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(0, 1 << 30))
def test_as_plain_indexing(dtype: torch.dtype, shape: list[int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    tensor = torch.from_numpy(generator.integers(-9, 9, shape)).to(dtype)
    masks = [generator.random(size) < 0.7 for size in shape]
    found = Slicer().sliced(tensor, masks)
    assert found.is_contiguous()
    assert found.dtype == dtype
    assert torch.equal(found, tensor[np.ix_(*masks)])


@pytest.mark.parametrize("shape", [(700, 400), (400, 60, 3, 3), (40, 30, 50, 5)])
def test_one_slicer_for_many_blocks(shape: tuple[int, ...]) -> None:
    slicer, generator = Slicer(), np.random.default_rng(0)
    tensor = torch.randn(shape)
    for cut in ((0,), (1,), (0, 1), tuple(range(len(shape)))):
        masks = [generator.random(size) < 0.6 if dim in cut else np.ones(size, bool) for dim, size in enumerate(shape)]
        assert torch.equal(slicer.sliced(tensor, masks), tensor[np.ix_(*masks)])


def test_bits_of_no_number_stay() -> None:
    bits = torch.tensor([[0x7FA00001, 0x7F800001], [-4194303, 1]], dtype=torch.int32)  # signalling NaNs, a denormal
    found = Slicer().sliced(bits.view(torch.float32), [np.array([True, True]), np.array([False, True])])
    assert found.view(torch.int32).tolist() == [[0x7F800001], [1]]
