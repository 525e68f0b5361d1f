"""Inputs made up from what a file declares: no data set is needed to measure speed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from compress.errors import InputError
from deploy.runtimes.base import Array, InputSpec

_FLOATS = {"float": "float32", "float16": "float16", "double": "float64"}
_INTEGERS = {f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}

Sizes = Mapping[str, int]


class Declares(Protocol):
    """What inputs are made up for: a session, or a file that was only looked at."""

    @property
    def inputs(self) -> tuple[InputSpec, ...]:
        """The declared inputs."""

    @property
    def path(self) -> Path:
        """The file."""


def make_feeds(session: Declares, *, batch: int, sizes: Sizes | None = None, seed: int = 0) -> dict[str, Array]:
    """Return one random array per declared input: normal floats, integers and booleans of 0 and 1.

    Args:
        batch: size of a dynamic first dimension; a file whose batch is fixed accepts only that one.
        sizes: sizes of the other dynamic dimensions, by their name, or as ``"input:axis"`` where they have none.

    Raises:
        InputError: a size is missing, unknown or below 1, the batch does not fit, or a type cannot be made up.
    """
    where = str(session.path)
    sizes = dict(sizes or {})
    _check_sizes(session, batch, sizes, where)
    generator = np.random.default_rng(seed)
    known = {spec.shape[0]: batch for spec in session.inputs if spec.shape and _named(spec.shape[0])}
    return {
        spec.name: _random(spec, _shape(spec, batch, known, sizes, where), generator, where) for spec in session.inputs
    }


def _check_sizes(session: Declares, batch: int, sizes: Sizes, where: str) -> None:
    if batch < 1:
        raise InputError(f"batch {batch} was asked for", hint="give 1 or more")
    accepted: set[str] = set()
    for spec in session.inputs:
        for axis, size in enumerate(spec.shape):
            if isinstance(size, str) and axis > 0:
                accepted |= {f"{spec.name}:{axis}", size} - {""}
    for name, value in sizes.items():
        if name not in accepted:
            known = ", ".join(sorted(accepted)) or "none besides the batch"
            raise InputError(f"has no dynamic dimension {name!r}", where=where, hint=f"it has: {known}")
        if value < 1:
            raise InputError(f"size {value} was given for dimension {name!r}", where=where, hint="give 1 or more")
    first = [spec.shape[0] for spec in session.inputs if spec.shape]
    fixed = [size for size in first if isinstance(size, int)]
    if fixed and len(fixed) == len(first) and batch not in fixed:
        raise InputError(
            f"its batch is fixed at {fixed[0]}, {batch} was asked for",
            where=where,
            hint=f"measure with batch {fixed[0]}, or export it with a dynamic batch",
        )


def _named(size: int | str) -> bool:
    return isinstance(size, str) and size != ""


def _shape(spec: InputSpec, batch: int, known: Mapping[int | str, int], sizes: Sizes, where: str) -> tuple[int, ...]:
    shape: list[int] = []
    for axis, size in enumerate(spec.shape):
        by_place = f"{spec.name}:{axis}"
        if isinstance(size, int):
            shape.append(size)
        elif axis == 0:
            shape.append(batch)
        elif by_place in sizes or size in sizes:
            shape.append(sizes[by_place] if by_place in sizes else sizes[size])
        elif size in known:
            shape.append(known[size])
        else:
            name = size or by_place
            raise InputError(
                f"dimension {axis} of input {spec.name!r} is dynamic and has no size",
                where=where,
                hint=f"give one, for example {name}=224",
            )
    return tuple(shape)


def _random(spec: InputSpec, shape: tuple[int, ...], generator: np.random.Generator, where: str) -> Array:
    if spec.dtype in _FLOATS:
        return generator.standard_normal(shape).astype(_FLOATS[spec.dtype])
    if spec.dtype in _INTEGERS:
        return generator.integers(0, 2, shape).astype(_INTEGERS[spec.dtype])
    if spec.dtype == "bool":
        return generator.integers(0, 2, shape).astype(bool)
    raise InputError(f"input {spec.name!r} has type {spec.dtype}, which cannot be made up", where=where)
