"""Returning: channels that were cut and save nothing of what was asked for come back, those of higher scores first.

A threshold common to all groups cuts everywhere. That suits a sum, to which every channel adds; a peak is due to a few
groups, and below it the others may stay as wide as they are. A runtime takes as long for a width as for the next one
that fills its blocks.
"""

from __future__ import annotations

import numpy as np

from compress.allocation._ladder import Widths
from compress.allocation._paths import Ranked, by_score
from compress.allocation._space import Space
from compress.allocation._target import LATENCY

PEAKS = frozenset({"memory", LATENCY})  # measures to which not every channel adds
_LEVELS = 32
_EQUAL = 1e-9


def returned(space: Space, ranked: Ranked, widths: Widths) -> Widths:
    """Widen each group as far as no target's cost grows: along the path of ``ranked``, all together where that goes,
    else group by group.
    """
    most = space.reached(widths)[0] + _EQUAL
    for row in by_score(space, ranked, _LEVELS):
        wider = np.maximum(widths, row)
        if bool((space.reached(wider)[0] <= most).all()):
            widths = wider
            continue
        for group in np.flatnonzero(wider > widths).tolist():
            one = widths.copy()
            one[group] = wider[group]
            if bool((space.reached(one)[0] <= most).all()):
                widths = one
    return widths
