"""Widths that pay: where no larger one takes as little time.

Runtimes compute channels in blocks: of 64 channels, 52 may take as long as 64 do. Such a candidate is never worth its
loss, and a search that may choose it spends its trials on telling so.
"""

from __future__ import annotations

import math

import numpy as np

from compress.search.costs import Predictor
from compress.search.encoding import CHANNELS, Encoding

_EQUAL = 1e-6  # relative: what a prediction's rounding may differ by


def paying_widths(encoding: Encoding, predictor: Predictor) -> dict[str, list[int]]:
    """Return, for every group, the atoms kept that take less time than all larger numbers, the rest of the network
    whole and dense, in ascending order; all of them are always among them.
    """
    full = {gene.group: gene.atoms for gene in encoding.widths}
    groups = list(predictor.groups)
    found = {}
    for gene, lowest in zip(encoding.widths, encoding.grid.low, strict=False):
        step = math.lcm(CHANNELS, gene.cell) // gene.cell
        options = [*range(gene.kept(float(lowest)), gene.atoms, step), gene.atoms]
        rows = np.tile([full[name] for name in groups], (len(options), 1))
        rows[:, groups.index(gene.group)] = options
        took = predictor.milliseconds(rows)
        least = np.minimum.accumulate(took[::-1])[::-1]  # of this width and all larger ones
        pays = [took[at] < least[at + 1] * (1 - _EQUAL) for at in range(len(options) - 1)]
        found[gene.group] = [width for width, good in zip(options, [*pays, True], strict=True) if good]
    return found
