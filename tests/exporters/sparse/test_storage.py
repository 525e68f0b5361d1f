"""What is packed comes out again, and patterns are recognised by their zeros."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.sparse.storage import block_of, pack, unpack
from tests.exporters.sparse.building import pruned


@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    block=st.sampled_from([1, 2, 4]),
    density=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
@settings(deadline=None, max_examples=60)
def test_packing_loses_nothing(rows: int, columns: int, block: int, density: float, seed: int) -> None:
    matrix = pruned(np.random.default_rng(seed), (rows, columns), density, 1)
    packed = pack(matrix, block)
    np.testing.assert_array_equal(unpack(packed), matrix)
    groups = -(-rows // block)
    assert len(packed.mask) == -(-groups * columns // 8)
    assert len(packed.values) == int(np.unpackbits(packed.mask).sum()) * block
    assert packed.values.dtype == np.float32


def test_the_order_is_row_major_with_the_lowest_bit_first() -> None:
    matrix = np.zeros((2, 9), np.float32)
    matrix[0, 0], matrix[0, 3], matrix[1, 8] = 5, 6, 7
    packed = pack(matrix, 1)
    assert packed.mask.tolist() == [0b0000_1001, 0, 0b0000_0010]
    assert packed.values.tolist() == [5, 6, 7]
    packed = pack(matrix, 2)
    assert packed.mask.tolist() == [0b0000_1001, 0b0000_0001]
    assert packed.values.tolist() == [5, 0, 6, 0, 0, 7]


@pytest.mark.parametrize("block", [1, 2, 4])
@pytest.mark.parametrize("rows", [64, 61])
@pytest.mark.parametrize("density", [0.1, 0.3, 0.6])
def test_the_pattern_is_seen_in_the_zeros(block: int, rows: int, density: float) -> None:
    assert block_of(pruned(np.random.default_rng(0), (rows, 64), density, block)) == block


def test_some_zeros_inside_of_blocks_do_not_hide_them() -> None:
    matrix = pruned(np.random.default_rng(0), (64, 64), 0.2, 4)
    matrix[np.random.default_rng(1).random(matrix.shape) < 0.02] = 0
    assert block_of(matrix) == 4


def test_blocks_do_not_cross_groups_of_channels() -> None:
    matrix = pruned(np.random.default_rng(0), (12, 64), 0.2, 4)
    assert block_of(matrix, rows_in_group=12) == 4
    assert block_of(matrix, rows_in_group=6) == 2
    assert block_of(matrix, rows_in_group=3) == 1
