"""Random numbers as a pure function of a key, so that nothing depends on what was drawn before.

SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014) used as a hash: the
same key gives the same number in any order, on any number of processes and in any version of the libraries.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Key = int | str | npt.NDArray[np.int64]

_MASK = (1 << 64) - 1
_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def draw(*key: Key) -> Hashes:
    """Return uniformly distributed 64-bit numbers for ``key``.

    Args:
        key: integers, words, and at most one array of integers of shape ``(N,)``.

    Returns:
        shape ``(N,)``, or ``(1,)`` for a key without an array.
    """
    state = np.zeros(1, dtype=np.uint64)
    for part in key:
        state = _scramble((state ^ _number(part)) + _GAMMA)
    return state


def draw_seed(*key: Key) -> int:
    """Return one seed in 0 .. 2**63-1 for ``key``."""
    return int(draw(*key)[0] >> np.uint64(1))


def shuffled(count: int, *key: Key) -> npt.NDArray[np.int64]:
    """Return a permutation of ``range(count)`` that depends on ``key`` alone."""
    return np.argsort(draw(*key, np.arange(count)), kind="stable").astype(np.int64)


def _number(part: Key) -> Hashes:
    if isinstance(part, str):
        part = zlib.crc32(part.encode())
    if isinstance(part, int):
        return np.array([part & _MASK], dtype=np.uint64)
    return part.astype(np.uint64)


def _scramble(value: Hashes) -> Hashes:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
