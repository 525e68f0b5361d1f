"""The refined space: the recipes of a regime whose ratio of MACs to parameters lies in the band that did best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from compress.errors import PlanError
from compress.search.spaces.ratios import Band, Reading, log_ratios
from compress.search.spaces.space import Space, Widths, distinct

_BATCHES = 32


@dataclass(frozen=True)
class Refined:
    """``space`` within ``band``: recipes are drawn as in the space, and those that lie inside are taken.

    So they are spread as they are in the space itself, given that they lie inside. At most 32 batches are drawn.
    """

    space: Space
    band: Band
    reading: Reading = "network"
    stages: Sequence[int] = ()

    def sample(self, share: float, count: int, random: np.random.Generator) -> Widths:
        """Draw recipes as :meth:`Space.sample` does.

        Raises:
            PlanError: as there, or hardly any recipe of this regime lies inside the band.
        """
        found = np.empty((0, len(self.space.rungs)), np.int64)
        for _ in range(_BATCHES):
            rows = self.space.sample(share, max(2 * count, 16), random)
            inside = self.band.holds(log_ratios(self.space, rows, self.reading, self.stages))
            found = distinct(np.concatenate([found, rows[inside]]))
            if len(found) >= count:
                return found[:count]
        raise PlanError(
            f"only {len(found)} of {count} recipes were found in the refined space of the regime {share:g}",
            hint="a larger population for the buckets, or fewer buckets, make its band wider",
        )
