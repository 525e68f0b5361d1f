"""What a calibrated latency model is written down as: JSON with a version, refused where it is damaged."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from compress.errors import InputError
from compress.files import write_text
from compress.latency.table import LatencyTable

VERSION = 1
_LARGEST = 64 * 2**20  # bytes
_AGAIN = "calibrate again, or take the file that compress calibrate wrote"

Positive = Annotated[FiniteFloat, Field(gt=0)]
Sample = tuple[Positive, Positive, Positive, Positive, Positive]
"""Output channels, input channels, density, milliseconds, and their noise relative to them."""
Axis = Annotated[list[Positive], Field(min_length=1, max_length=64)]


class Record(BaseModel):
    """Base of what is written: unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Key(Record):
    """For what a model holds: the device's processor, the runtime, how it ran, and which weights may be zero.

    ``pattern`` is that of the zeros (``4x1``), None where weights are dense.
    """

    device: str
    runtime: str
    version: str
    threads: int = Field(ge=1)
    precision: str = "fp32"
    batch: int = Field(default=1, ge=1)
    pattern: Literal["4x1"] | None = None

    def describe(self) -> str:
        """Return it as one phrase."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        zeros = "dense weights" if self.pattern is None else f"zeros in {self.pattern}"
        return f"{self.runtime} {self.version}, {self.precision}, {threads}, batch {self.batch}, {zeros}, {self.device}"


class HeldOut(Record):
    """How far predictions are from measurements of configurations that were not fitted to.

    ``error`` is the median of the errors relative to what was measured, ``spearman`` the rank correlation.
    """

    error: float = Field(ge=0)
    spearman: float = Field(ge=-1, le=1)
    configurations: int = Field(ge=1)


class Network(Record):
    """One network that was measured: its name, its dense time, the spread of that over the calibration, the error."""

    name: str
    fingerprint: str
    milliseconds: Positive
    drift: float = Field(ge=0, description="half the spread of the dense file's times, relative to their median")
    configurations: int = Field(ge=1)
    held_out: HeldOut


class TableRecord(Record):
    """A table: milliseconds by axes (output channels, input channels, density), in their order."""

    axes: tuple[Axis, Axis, Axis]
    milliseconds: list[Annotated[FiniteFloat, Field(ge=0)]]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        sizes = [len(axis) for axis in self.axes]
        if int(np.prod(sizes)) != len(self.milliseconds):
            raise ValueError(f"axes of lengths {sizes} have {len(self.milliseconds)} values")
        if any(later <= earlier for axis in self.axes for earlier, later in itertools.pairwise(axis)):
            raise ValueError("axes do not ascend")
        return self

    def table(self) -> LatencyTable:
        """Return it to be looked up."""
        one, two, three = (np.array(axis) for axis in self.axes)
        return LatencyTable((one, two, three), np.array(self.milliseconds).reshape(one.size, two.size, three.size))


class KindRecord(TableRecord):
    """A table of one kind of layer, and what it was fitted to.

    ``block`` is of output and input channels: widths count as rounded up to a multiple of it. ``below`` is the table of
    layers that read fewer channels than a block, where those take their own time.
    """

    block: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = (1, 1)
    below: TableRecord | None = None
    samples: list[Sample] = Field(min_length=1)


class ModelRecord(Record):
    """Everything in a file."""

    format: Literal["compress.latency"] = "compress.latency"
    version: int
    key: Key
    step: int = Field(default=1, ge=1, description="widths were measured in multiples of so many channels")
    kinds: dict[str, KindRecord] = Field(min_length=1)
    networks: list[Network] = Field(min_length=1)


def read(path: str | os.PathLike[str]) -> ModelRecord:
    """Read a file that :func:`write` wrote.

    Raises:
        InputError: there is none, or it is none: not JSON, another version, values that no table has.
    """
    where = os.fspath(path)
    file = Path(path)
    if not file.is_file():
        what = "is a folder" if file.is_dir() else "does not exist"
        raise InputError(what, where=where, hint="compress calibrate writes such files")
    if file.stat().st_size > _LARGEST:
        raise InputError(f"is larger than any latency model ({_LARGEST >> 20} MiB)", where=where, hint=_AGAIN)
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"is not a latency model ({type(error).__name__})", where=where, hint=_AGAIN) from error
    if not isinstance(found, dict) or found.get("format") != "compress.latency":
        raise InputError("is not a latency model", where=where, hint=_AGAIN)
    if found.get("version") != VERSION:
        told = found.get("version")
        hint = "upgrade this tool" if isinstance(told, int) and told > VERSION else _AGAIN
        raise InputError(f"is version {told} of a latency model, not {VERSION}", where=where, hint=hint)
    try:
        return ModelRecord.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"is a damaged latency model ({place}: {first['msg']})", where=where, hint=_AGAIN) from error


def write(record: ModelRecord, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Write atomically.

    Raises:
        InputError: ``path`` cannot be written, or exists and ``overwrite`` is false.
    """
    write_text(path, record.model_dump_json(), overwrite=overwrite)
