"""Numbers that depend on their key alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from compress.data.randomness import draw, draw_seed, shuffled


def test_an_array_of_indices_gives_what_each_index_gives_alone() -> None:
    together = draw(3, 1, "order", np.arange(20))
    alone = [int(draw(3, 1, "order", index)[0]) for index in range(20)]
    assert together.tolist() == alone


def test_every_part_of_the_key_matters() -> None:
    seeds = {draw_seed(0, 0, "a"), draw_seed(1, 0, "a"), draw_seed(0, 1, "a"), draw_seed(0, 0, "b"), draw_seed(0, "a")}
    assert len(seeds) == 5


def test_numbers_are_spread_evenly() -> None:
    shares = np.bincount((draw(7, np.arange(64_000)) % np.uint64(16)).astype(int)) / 4000
    assert shares.min() > 0.9
    assert shares.max() < 1.1


def test_known_values_hold_on_every_machine() -> None:
    # A change here would break resuming runs of an earlier version.
    assert shuffled(8, 0, 0, "order").tolist() == [1, 3, 6, 5, 0, 7, 4, 2]


@given(st.integers(1, 300), st.integers(0, 2**62), st.integers(0, 1000))
def test_shuffling_keeps_every_index(count: int, seed: int, epoch: int) -> None:
    assert sorted(shuffled(count, seed, epoch).tolist()) == list(range(count))
