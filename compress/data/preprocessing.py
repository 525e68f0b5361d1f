"""How raw images become the network's input: what is known about it, completed by what the data set suggests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from compress.errors import DataError
from compress.info import Preprocessing

if TYPE_CHECKING:
    from compress.program import Program


class Wanted(BaseModel):
    """What the network asks for; a field is None where nothing is known and the data set's own value is taken."""

    model_config = ConfigDict(extra="ignore", from_attributes=True)

    mean: list[float] | None = None
    std: list[float] | None = None
    size: list[int] | None = Field(default=None, min_length=2, max_length=2)
    channels: int | None = Field(default=None, ge=1)


def wanted(preprocessing: Any) -> Wanted:
    """Read a :class:`~compress.info.Preprocessing`, any object or mapping with such fields, or None.

    Raises:
        DataError: a field is malformed, or mean, std and channels disagree.
    """
    if preprocessing is None:
        return Wanted()
    try:
        fields = dict(preprocessing) if isinstance(preprocessing, Mapping) else preprocessing
        found = Wanted.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"preprocessing: {first['loc'][0] if first['loc'] else ''} {first['msg']}") from error
    if (found.mean is None) != (found.std is None):
        raise DataError("preprocessing: mean and std belong together", hint="give both or neither")
    if found.std is not None and min(found.std) <= 0:
        raise DataError(f"preprocessing: std must be positive, got {found.std}")
    if found.size is not None and min(found.size) < 1:
        raise DataError(f"preprocessing: size must be positive, got {found.size}")
    _same_channels(found)
    return found


def preprocessing_of(program: Program) -> Wanted:
    """Return what ``program`` asks its images to be: its record where it has one, else the shape of its first input."""
    if program.info.preprocessing is not None:
        return wanted(program.info.preprocessing)
    shape = program.inputs[0].shape
    if len(shape) != 4:
        return Wanted()
    return Wanted(channels=int(shape[1]), size=[int(shape[2]), int(shape[3])])


def complete(asked: Wanted, *, mean: list[float], std: list[float], size: list[int]) -> Preprocessing:
    """Fill what ``asked`` leaves open with the data set's own mean, std and size.

    A network with one channel gets the average of a colour data set's statistics; one with three channels gets a grey
    data set's statistics three times.
    """
    channels = asked.channels or len(asked.mean or mean)
    return Preprocessing(
        mean=_spread(asked.mean or mean, channels),
        std=_spread(asked.std or std, channels),
        size=asked.size or size,
        channels=channels,
    )


def _spread(values: list[float], channels: int) -> list[float]:
    if len(values) == channels:
        return list(values)
    return [sum(values) / len(values)] * channels


def _same_channels(found: Wanted) -> None:
    if found.mean is None or found.std is None:
        return
    lengths = {len(found.mean), len(found.std)} - {1}
    if len(lengths) > 1 or (found.channels is not None and lengths - {found.channels}):
        raise DataError(
            f"preprocessing: {len(found.mean)} means and {len(found.std)} standard deviations"
            + (f" for {found.channels} channels" if found.channels else "")
        )
