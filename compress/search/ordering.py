"""Which channels stay: candidates take the first of every group, so the largest are put first.

A network that was trained in the usual way has its channels in no order. Reordering them changes nothing that it
computes, and makes "the first c channels" mean "the c channels of largest l2 norm".
"""

from __future__ import annotations

import numpy as np

from compress.axes.analysis import analyse
from compress.axes.permute import reorder
from compress.importance import Ranking, ScoreContext, criterion
from compress.program import Program

CRITERION = "l2"


def largest_first(program: Program) -> Program:
    """Return a network that computes the same, with the atoms of every group in falling order of their l2 norm.

    Equal ones stay in their order. ``program`` is left as it is.
    """
    analysis = analyse(program)
    scores = Ranking(criterion(CRITERION)).scores(ScoreContext(analysis, None, 0), analysis.prunable)
    orders = {name: np.argsort(-found, kind="stable") for name, found in scores.items()}
    result = reorder(analysis, orders)
    result.info.record("reorder", arguments={"criterion": CRITERION})
    return result
