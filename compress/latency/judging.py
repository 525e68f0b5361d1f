"""How far a latency model can be trusted: end to end against measurements, fitted to or held out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compress.errors import UndecidedError
from compress.latency.measurement import Measurement
from compress.latency.record import HeldOut

Figures = NDArray[np.float64]

MOST_OUTLIERS = 0.1
WORST_ERROR = 0.15
_OUTLIER, _SPREADS = 0.15, 5.0
_QUARTER, _REPEATS = 0.25, 64
_AGAIN = "close what else runs on the device and calibrate anew with --restart; --seconds measures longer"


def held_out(predicted: Figures, measured: Figures) -> HeldOut:
    """Return the median error and the rank correlation of predictions, each of shape (n,)."""
    from scipy.stats import rankdata

    ranks = rankdata(predicted), rankdata(measured)
    rank = float(np.corrcoef(*ranks)[0, 1]) if all(np.ptp(one) > 0 for one in ranks) else 0.0
    error = float(np.median(np.abs(predicted / measured - 1)))
    return HeldOut(error=error, spearman=float(np.clip(rank, -1, 1)), configurations=len(measured))


def outliers(predicted: Figures, measured: Figures) -> list[int]:
    """Return the positions of measurements that are far from what all others tell."""
    off = np.log(measured / predicted)
    off = off - np.median(off)
    spread = 1.4826 * float(np.median(np.abs(off)))
    return np.flatnonzero(np.abs(off) > max(_OUTLIER, _SPREADS * spread)).tolist()


def check(predicted: Figures, measured: Sequence[Measurement], found: HeldOut) -> None:
    """Refuse a calibration that contradicts itself.

    Raises:
        UndecidedError: too many outliers, or predictions that are of no use.
    """
    times = np.array([one.milliseconds for one in measured])
    wrong = outliers(predicted, times)
    if len(wrong) > MOST_OUTLIERS * len(times):
        worst = max(wrong, key=lambda at: abs(float(np.log(times[at] / predicted[at]))))
        raise UndecidedError(
            f"{len(wrong)} of {len(times)} measurements contradict the others (one took {times[worst]:.3g} ms where "
            f"they tell {predicted[worst]:.3g} ms)",
            hint=_AGAIN,
        )
    if found.error > WORST_ERROR:
        raise UndecidedError(
            f"half of the {found.configurations} configurations held out are predicted worse than to "
            f"{found.error:.0%}".replace("%", " %"),
            hint=_AGAIN,
        )


def ratio_of(base: Any, new: Any, seed: int = 0) -> tuple[float, float]:
    """Return the ratio of what runs take that nobody disturbed, ``new`` over ``base``, and its relative noise.

    Taken at the lower quartile: half the runs may wait for other processes, which moves a median. The noise is the
    standard deviation over rounds drawn anew with replacement (bootstrap; Efron 1979).

    Args:
        base, new: milliseconds of both files in the same rounds, of shape (rounds,).
    """
    rounds = np.stack([np.asarray(base, np.float64), np.asarray(new, np.float64)])
    drawn = np.random.default_rng(seed).integers(0, rounds.shape[1], (_REPEATS, rounds.shape[1]))
    low = np.quantile(rounds[:, drawn], _QUARTER, axis=2)
    told = np.quantile(rounds, _QUARTER, axis=1)
    return float(told[1] / told[0]), float(np.log(low[1] / low[0]).std())
