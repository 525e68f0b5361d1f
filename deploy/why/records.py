"""Two files explained: layers side by side, what bounds each, and the changes that would pay most."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deploy.records import Conditions, ModelFile, Record

Bound = Literal["compute", "memory", "overhead", "unknown"]


class Peak(Record):
    """What this machine was measured to reach: multiply-adds and bytes a second, milliseconds of an empty operator."""

    macs: float
    bytes: float
    overhead: float
    threads: int
    how: str


class Side(Record):
    """An operator, or all operators of one layer, in one of the two files. Times in milliseconds of a run."""

    milliseconds: float
    kinds: list[str]
    macs: int | None = None
    bytes: int | None = Field(default=None, description="read and written at least once: inputs, weights, outputs")
    width: int | None = Field(default=None, description="output channels")
    bound: Bound = "unknown"
    attained: float | None = Field(
        default=None, description="share of what the peak allows this operator to reach, 0 to 1"
    )


class Row(Record):
    """One layer (or an operator without one) in both files; a side is absent where the file does not have it."""

    name: str
    base: Side | None = None
    new: Side | None = None
    remarks: list[str] = Field(default_factory=list)


class Advice(Record):
    """A change that would pay: what to do, why, and the milliseconds that it would save at most."""

    change: str
    because: str
    saves: float


class Explanation(Record):
    """Why ``new`` is as fast as it is against ``base``. ``verdict`` is one paragraph."""

    base: ModelFile
    new: ModelFile
    conditions: Conditions
    peak: Peak
    base_ms: float
    new_ms: float
    verdict: str
    rows: list[Row]
    extras: dict[str, list[str]] = Field(default_factory=dict, description="copies and reformats, by file")
    advice: list[Advice]
