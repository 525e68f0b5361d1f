"""Allocation: how many atoms each group keeps so that one or several targets are met."""

from compress.allocation._allocate import LEAST, Allocation, allocate
from compress.allocation._costs import Costs, Part
from compress.allocation._ladder import Ladder
from compress.allocation._shortfall import Cause, Shortfall
from compress.allocation._target import MEASURES, TOLERANCE, Target, parse_targets
from compress.allocation._tied import Tied

__all__ = [
    "LEAST",
    "MEASURES",
    "TOLERANCE",
    "Allocation",
    "Cause",
    "Costs",
    "Ladder",
    "Part",
    "Shortfall",
    "Target",
    "Tied",
    "allocate",
    "parse_targets",
]
