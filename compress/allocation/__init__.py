"""Allocation: how many atoms each group keeps so that one or several targets are met."""

from compress.allocation._allocate import LEAST, Allocation, allocate
from compress.allocation._costs import Costs, Part
from compress.allocation._ladder import Granularity, Ladder, step_of
from compress.allocation._latency import BoundModel, CostModel, WithLatency
from compress.allocation._shortfall import Cause, Shortfall
from compress.allocation._target import LATENCY, MEASURES, TOLERANCE, Target, parse_targets
from compress.allocation._tied import Tied

__all__ = [
    "LATENCY",
    "LEAST",
    "MEASURES",
    "TOLERANCE",
    "Allocation",
    "BoundModel",
    "Cause",
    "CostModel",
    "Costs",
    "Granularity",
    "Ladder",
    "Part",
    "Shortfall",
    "Target",
    "Tied",
    "WithLatency",
    "allocate",
    "parse_targets",
    "step_of",
]
