"""Two files explained: layers side by side, what bounds each, and the changes that would pay most."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deploy.records import Conditions, ModelFile, Record

Bound = Literal["compute", "memory", "overhead", "unknown"]


class Rate(Record):
    """Bytes a second of operators that move ``bytes`` in all: the caches show as steps."""

    bytes: int
    rate: float


class Peak(Record):
    """What this machine was measured to reach: multiply-adds and bytes a second, milliseconds of an empty operator.

    ``bytes`` is beyond the caches; ``rates`` also say it for less. ``overheads`` are the milliseconds that the
    runtime's own times of operators say of one of each kind with next to nothing to do: their resolution and its cost
    are in it. ``call`` is a whole run of a network of one such operator.
    """

    macs: float
    bytes: float
    overhead: float
    threads: int
    how: str
    rates: list[Rate] = Field(default_factory=list)
    overheads: dict[str, float] = Field(default_factory=dict)
    call: float = 0.0
    block: int | None = Field(default=None, description="channels that the runtime lays out together, where it does")
    alignment: int | None = Field(default=None, description="what channels must be a multiple of for that")


class Side(Record):
    """An operator, or all operators of one layer, in one of the two files. Times in milliseconds of a run."""

    milliseconds: float
    kinds: list[str]
    macs: int | None = Field(default=None, description="at the measured batch and input size")
    bytes: int | None = Field(default=None, description="read and written at least once: inputs, weights, outputs")
    width: int | None = Field(default=None, description="output channels")
    bound: Bound = Field(default="unknown", description="unknown also where it is far from every roof")
    attained: float | None = Field(
        default=None, description="share of what the peak allows this operator to reach, 0 to 1"
    )
    nodes: list[str] = Field(default_factory=list, description="the file's nodes")
    sparse: bool = Field(default=False, description="MACs are those of the stored weights alone")


class Row(Record):
    """One layer (or an operator without one) in both files; a side is absent where the file does not have it."""

    name: str
    base: Side | None = None
    new: Side | None = None
    remarks: list[str] = Field(default_factory=list)
    extra: bool = Field(default=False, description="copies or converts, and computes nothing")


class Cause(Record):
    """Where the time went that fewer MACs should have saved: milliseconds, below 0 where more was saved than that."""

    name: str
    milliseconds: float
    rows: list[str] = Field(default_factory=list, description="those that it comes from, largest first")


class Advice(Record):
    """A change that would pay: what to do, why, and the milliseconds of a run (of ``new``) that it would save.

    ``saves`` is ``measured`` where that is there, else ``estimated``, which is an upper bound.
    """

    change: str
    because: str
    saves: float
    estimated: float | None = None
    measured: float | None = Field(default=None, description="in pairs with the file as it is")
    low: float | None = Field(default=None, description="of the 99 % interval of what was measured")
    high: float | None = None
    how: str = Field(default="", description="how the figures were come by")


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
    ratio: float | None = Field(default=None, description="of paired times, new / base")
    ratio_low: float | None = None
    ratio_high: float | None = None
    base_macs: int | None = None
    new_macs: int | None = None
    causes: list[Cause] = Field(default_factory=list)
    considered: list[str] = Field(default_factory=list, description="changes that were weighed and would not pay")
