"""How a weight with zeros is kept in a file: which pattern its zeros have, its non-zero values and a bit mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

BLOCKS = (4, 2, 1)
PATTERNS = {1: "unstructured", 2: "2x1", 4: "4x1"}
_WASTE = {4: 0.12, 2: 0.06, 1: 0.0}
"""Share of stored elements that may be zero for a block to be taken: what a larger block gains outweighs it."""


@dataclass(frozen=True)
class Packed:
    """A matrix (rows, columns) as the operators store it.

    Rows lie in groups of ``block``, the last filled up with zeros. ``mask`` has a bit for each (group, column),
    row-major, the lowest bit of a byte first; for each that is set, ``values`` has the ``block`` elements of that
    column.
    """

    values: Array
    mask: Array
    block: int
    rows: int
    columns: int

    @property
    def pattern(self) -> str:
        """The pattern's name: ``unstructured``, ``2x1`` or ``4x1``."""
        return PATTERNS[self.block]

    @property
    def density(self) -> float:
        """The share of the matrix that is stored, zeros inside blocks included."""
        return min(1.0, self.values.size / (self.rows * self.columns))


def pack(matrix: Array, block: int) -> Packed:
    """Store ``matrix`` (rows, columns), float32, in blocks of ``block`` rows (1, 2 or 4)."""
    rows, columns = matrix.shape
    blocks = _blocks(matrix, block)
    kept = (blocks != 0).any(axis=1)
    values = blocks.transpose(0, 2, 1)[kept].reshape(-1)
    mask = np.packbits(kept.reshape(-1), bitorder="little")
    return Packed(np.ascontiguousarray(values, np.float32), mask, block, rows, columns)


def unpack(packed: Packed) -> Array:
    """Return the matrix (rows, columns) that was packed."""
    groups = -(-packed.rows // packed.block)
    bits = np.unpackbits(packed.mask, count=groups * packed.columns, bitorder="little").astype(bool)
    blocks = np.zeros((groups, packed.columns, packed.block), np.float32)
    blocks[bits.reshape(groups, packed.columns)] = packed.values.reshape(-1, packed.block)
    return blocks.transpose(0, 2, 1).reshape(groups * packed.block, packed.columns)[: packed.rows]


def block_of(matrix: Array, rows_in_group: int | None = None) -> int:
    """Return the largest block (4, 2 or 1 rows) that the zeros of ``matrix`` (rows, columns) come in.

    A few zeros inside of blocks that stay (weights that happen to be zero) do not hide the pattern.

    Args:
        rows_in_group: rows of each group of channels, which a block must divide; None where there is one group.
    """
    nonzero = int(np.count_nonzero(matrix))
    for block in BLOCKS:
        if rows_in_group is not None and rows_in_group % block:
            continue
        kept = np.count_nonzero((_blocks(matrix, block) != 0).any(axis=1), axis=1)
        rows = np.minimum(block, matrix.shape[0] - block * np.arange(len(kept)))
        if nonzero >= (1 - _WASTE[block]) * int((kept * rows).sum()):
            return block
    return 1


def _blocks(matrix: Array, block: int) -> Array:
    """Return ``matrix`` (rows, columns) as (groups, block, columns)."""
    rows, columns = matrix.shape
    missing = -rows % block
    full = np.concatenate([matrix, np.zeros((missing, columns), matrix.dtype)]) if missing else matrix
    return full.reshape(-1, block, columns)
