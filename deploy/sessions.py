"""Open deployment files for measurement: inspected, loaded, with inputs made up, and described."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from compress.errors import InputError
from deploy import runtimes
from deploy.feeds import make_feeds
from deploy.modelfile import inspect
from deploy.records import Conditions, ModelFile
from deploy.runtimes.base import Array, Runtime, Session
from deploy.sensors import device_of
from deploy.timing import Call

INPUTS_TEXT = "made up from the declared inputs: standard normal floats, integers and booleans of 0 and 1"


@dataclass(frozen=True)
class Bench:
    """A file on the bench: ``call`` runs it once on ``feeds``."""

    file: ModelFile
    session: Session
    feeds: Mapping[str, Array]
    conditions: Conditions

    @property
    def call(self) -> Call:
        """The measured call."""
        return functools.partial(self.session.run, self.feeds)


@dataclass(frozen=True)
class Request:
    """How files are to be run. ``sizes`` are those of dynamic dimensions other than the batch."""

    runtime: str = "onnxruntime-cpu"
    threads: int = 1
    batch: int = 1
    sizes: Mapping[str, int] | None = None
    seed: int = 0

    def check(self) -> Runtime:
        """Return the runtime; raise :class:`InputError` or :class:`UnavailableError` before any work starts."""
        if self.threads < 1:
            raise InputError(f"{self.threads} threads were asked for", hint="give 1 or more")
        if self.batch < 1:
            raise InputError(f"batch {self.batch} was asked for", hint="give 1 or more")
        return runtimes.get(self.runtime)


def open_bench(path: str | os.PathLike[str], request: Request, file: ModelFile | None = None) -> Bench:
    """Load ``path`` as ``request`` says; ``file`` is what :func:`deploy.modelfile.inspect` said, if it was asked.

    Raises:
        InputError: the file is missing or damaged, the runtime refuses it, or inputs cannot be made up for it.
        UnavailableError: the runtime cannot be used here.
    """
    runtime = request.check()
    known = file or inspect(path)
    session = runtime.load(Path(path), threads=request.threads)
    feeds = make_feeds(session, batch=request.batch, sizes=request.sizes, seed=request.seed)
    session.run(feeds)
    said = session.describe()
    conditions = Conditions(
        runtime=said.runtime,
        version=said.version,
        provider=said.provider,
        precision=known.precision,
        threads=said.threads,
        batch=request.batch,
        device=device_of(said.provider),
        inputs={name: f"{array.dtype}{list(array.shape)}" for name, array in feeds.items()},
        settings=dict(said.settings),
    )
    return Bench(known, session, feeds, conditions)


def check_same_inputs(base: Bench, new: Bench) -> None:
    """Raise :class:`InputError` unless both files declare the same inputs: only then is the work comparable."""
    if base.conditions.inputs == new.conditions.inputs:
        return
    raise InputError(
        f"its inputs {_say(new)} are not those of {base.file.name}: {_say(base)}",
        where=str(new.session.path),
        hint="compare files that were exported with the same inputs",
    )


def check_positive(**values: float) -> None:
    """Raise :class:`InputError` unless every value is finite and above zero."""
    for name, value in values.items():
        if not math.isfinite(value) or value <= 0:
            raise InputError(f"{name} is {value}", hint="give a finite number above 0")


def thinned(values: Sequence[float], most: int = 2000) -> list[float]:
    """Return at most ``most`` of ``values``, evenly spaced, in order, to six significant digits."""
    step = max(1, math.ceil(len(values) / most))
    return [float(f"{value:.6g}") for value in values[::step]]


def _say(bench: Bench) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in bench.conditions.inputs.items())
