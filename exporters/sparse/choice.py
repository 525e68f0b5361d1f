"""Which layers become sparse by rule: the choice with the least expected time, reordering between neighbours included.

Dense convolutions keep pictures in blocks of channels, sparse ones in plain order; where the two meet, pictures are
reordered, and so they are at the ends of a run of dense ones. A layer may be worth its place only together with those
around it, even one without zeros.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from exporters.sparse.costs import Expectation
from exporters.sparse.neighbours import Near

CAUTION = 1.05
"""Sparse layers are taken to be slower by this factor than expected, since a network must not get slower."""


def choose(expected: Sequence[Expectation | None], near: Sequence[Near]) -> set[int]:
    """Return the layers to make sparse, by number.

    From all, from those that are faster alone, and from none, layers and pairs of neighbours change sides as long as
    the sum gets smaller; the best end is taken.

    Args:
        expected: of each layer; None where nothing is known: it stays dense.
        near: the convolutions before and behind each, by number.
    """
    search = _Search(expected, near)
    starts = (set(search.free), {number for number in search.free if search.gains_alone(number)}, set[int]())
    ends = [search.improved(start) for start in starts]
    return min(ends, key=lambda chosen: (search.total(chosen), len(chosen)))


class _Search:
    def __init__(self, expected: Sequence[Expectation | None], near: Sequence[Near]) -> None:
        self._expected, self._near = expected, near
        self.free = [number for number, one in enumerate(expected) if one is not None and one.sparse is not None]
        free = set(self.free)
        self._moves = [frozenset({number}) for number in self.free]
        self._moves += [frozenset({number, other}) for number in self.free for other in near[number][1] & free]

    def gains_alone(self, number: int) -> bool:
        """Whether the layer itself is faster sparse."""
        one = self._expected[number]
        return one is not None and one.sparse is not None and CAUTION * one.sparse < one.dense

    def improved(self, start: set[int]) -> set[int]:
        """Return the end of the way down from ``start``."""
        chosen, better = set(start), True
        while better:
            better = False
            for move in self._moves:
                after = chosen ^ move
                around = self._around(move)
                if self._sum(around, after) < self._sum(around, chosen) - 1e-9:
                    chosen, better = after, True
        return chosen

    def total(self, chosen: Collection[int]) -> float:
        """Return the expected time of all layers."""
        return self._sum(range(len(self._expected)), chosen)

    def _around(self, move: Iterable[int]) -> set[int]:
        """The layers whose terms may change: a picture's reordering counts with the layer that it comes from."""
        return {near for number in move for near in (number, *self._near[number][0])}

    def _sum(self, numbers: Iterable[int], chosen: Collection[int]) -> float:
        return sum(self._of(number, chosen) for number in numbers)

    def _of(self, number: int, chosen: Collection[int]) -> float:
        one = self._expected[number]
        if one is None:
            return 0.0
        is_sparse = number in chosen
        own = CAUTION * one.sparse if is_sparse and one.sparse is not None else one.dense
        before, after = self._near[number]
        reordered = any((other in chosen) != is_sparse for other in after) or not (after or is_sparse)
        from_elsewhere = not (before or is_sparse)
        return own + one.reorder_out * reordered + one.reorder_in * from_elsewhere
