"""The ratio of MACs to parameters, which winning recipes of a regime share: buckets of it, and the band of the best.

Two readings of what the paper calls the ratio of FLOPs to parameter bucket (its definition is not known):

- ``network``: within a regime MACs are fixed, so the population's parameters are cut into buckets of equal counts, and
  a bucket's ratio is the regime's MACs over the centre of its parameters.
- ``stages``: the same for every stage by itself (the layers that work at one resolution): each stage's MACs over its
  parameters is cut into buckets of equal counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from compress.errors import PlanError
from compress.search.spaces.distributions import Difference, Distribution
from compress.search.spaces.space import Space, Widths

Figures = NDArray[np.float64]
Reading = Literal["network", "stages"]
BUCKETS = 5


@dataclass(frozen=True)
class Bucket:
    """Recipes of neighbouring ratios: the ratio's bounds and centre (logarithms), and the errors that they had."""

    low: float
    high: float
    centre: float
    members: tuple[int, ...]
    errors: Distribution


@dataclass(frozen=True)
class Band:
    """Log-ratios from ``low`` to ``high``, both of shape (parts,): one part for the network, or one for each stage."""

    low: Figures
    high: Figures

    def holds(self, ratios: Figures) -> NDArray[np.bool_]:
        """Return for log-ratios of shape (recipes, parts) which recipes lie inside in every part."""
        return np.asarray(((ratios >= self.low) & (ratios <= self.high)).all(axis=1))


def log_ratios(space: Space, rows: Widths, reading: Reading, stages: Sequence[int] = ()) -> Figures:
    """Return the logarithm of MACs over parameters of recipes, of shape (recipes, parts).

    Args:
        space: that the recipes are of.
        rows: atoms kept, of shape (recipes, groups).
        reading: of the whole network, or of each stage.
        stages: for every layer with MACs, in the order of ``space.sizes.layers("macs", ...)``, its stage from 0 on;
            layers with the stage -1 count nowhere. For ``stages`` only.
    """
    if reading == "network":
        return np.log(space.sizes.cost("macs", rows) / space.sizes.cost("params", rows))[:, None]
    names, macs = space.sizes.by_layer("macs", rows)
    owned, params = space.sizes.by_layer("params", rows)
    column = {name: index for index, name in enumerate(owned)}
    of = np.array([column[name] for name in names if name in column])
    kept = np.array([index for index, name in enumerate(names) if name in column])
    where = np.asarray(stages)[kept]
    parts = [
        np.log(macs[:, kept[where == stage]].sum(axis=1) / params[:, of[where == stage]].sum(axis=1))
        for stage in range(int(where.max()) + 1)
        if (where == stage).any()
    ]
    return np.stack(parts, axis=1)


def buckets(ratios: Figures, errors: Figures, count: int = BUCKETS) -> list[Bucket]:
    """Cut a population into buckets of equal counts by one log-ratio, lowest first.

    Args:
        ratios: of shape (recipes,); ``errors`` likewise.
        count: of buckets; fewer come back where recipes share their ratio.

    Raises:
        PlanError: fewer recipes than buckets.
    """
    if len(ratios) < count or count < 1:
        raise PlanError(f"{len(ratios)} recipes cannot fill {count} buckets", hint="a larger population, or fewer")
    edges = np.unique(np.quantile(ratios, np.linspace(0, 1, count + 1)))
    if edges.size == 1:
        return [_bucket(edges[0], edges[0], np.arange(len(ratios)), ratios, errors)]
    places = np.clip(np.searchsorted(edges, ratios, side="right") - 1, 0, edges.size - 2)
    found = ((edges[at], edges[at + 1], np.flatnonzero(places == at)) for at in range(edges.size - 1))
    return [_bucket(low, high, members, ratios, errors) for low, high, members in found if members.size]


def best_band(ratios: Figures, errors: Figures, count: int = BUCKETS) -> Band:
    """Return the band of the buckets with the lowest mean error, part by part.

    Its half width is half that of the winning bucket, around the bucket's centre (the median of its members).

    Args:
        ratios: log-ratios of shape (recipes, parts).
        errors: of shape (recipes,).
        count: of buckets in each part.
    """
    lows, highs = [], []
    for column in ratios.T:
        best = min(buckets(column, errors, count), key=lambda bucket: (bucket.errors.mean, bucket.errors.best))
        half = (best.high - best.low) / 2
        lows.append(best.centre - half)
        highs.append(best.centre + half)
    return Band(np.array(lows), np.array(highs))


def held_out(ratios: Figures, errors: Figures, band: Band, *, seed: int = 0) -> Difference | None:
    """Return how much lower errors inside ``band`` are than all of a population that the band was not chosen by.

    ``None`` where none of its recipes lies inside.
    """
    inside = band.holds(ratios)
    if not inside.any():
        return None
    return Distribution(errors[inside]).against(Distribution(errors), seed=seed)


def _bucket(low: float, high: float, members: NDArray[np.intp], ratios: Figures, errors: Figures) -> Bucket:
    centre = float(np.median(ratios[members]))
    return Bucket(float(low), float(high), centre, tuple(int(one) for one in members), Distribution(errors[members]))
