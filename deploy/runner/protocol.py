"""What a host and a device say to each other about measurements: a request in, events out, one JSON object a line.

The host writes one line and leaves the stream open; **when it closes, the runner ends**, and with it what it started::

    {"protocol": 1, "verb": "measure", "request": {...MeasureRequest...}}
    {"protocol": 1, "verb": "describe"}

The runner answers with events. It is never silent for more than about a second, whatever a runtime does:

    {"event": "progress", "share": 0.25, "text": "measuring"}         share of the whole, from 0 to 1, never falling
    {"event": "figures", "figures": {...Figures...}}                  a file measured under one set of conditions
    {"event": "mishap", "mishap": {...Mishap...}}                     a file that could not be, the rest goes on
    {"event": "machine", "machine": {...}, "runtimes": {"onnxruntime-cpu": null, "tensorrt": "not installed"}}
    {"event": "error", "what": ..., "where": ..., "hint": ..., "exit_code": 2}    the request itself is wrong
    {"event": "done"}                                                 always the last; without it the answer is cut off

Files are called by their place in the request, so that the device's paths never leave it. Numbers that JSON does not
have (NaN) never occur.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compress.errors import CompressError, InputError, UnavailableError, UndecidedError

VERSION = 1

_ERRORS: dict[int, type[CompressError]] = {2: InputError, 3: UndecidedError, 4: UnavailableError}


@dataclass(frozen=True)
class MeasureRequest:
    """Measure every file in every runtime that reads it, at every number of threads and every batch.

    ``files`` are paths on the device. ``seconds`` is the measuring time per file and set of conditions. A runtime
    that says nothing for ``timeout`` seconds is taken to hang. Without ``keep_going`` the first mishap is the last.
    """

    files: Sequence[str]
    runtimes: Sequence[str] = ("onnxruntime-cpu",)
    threads: Sequence[int] = (1,)
    batches: Sequence[int] = (1,)
    sizes: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 3.0
    seed: int = 0
    operators: bool = False
    timeout: float = 120.0
    keep_going: bool = True


@dataclass(frozen=True)
class Conditions:
    """One combination of what a request asks for."""

    runtime: str
    threads: int
    batch: int


@dataclass(frozen=True)
class Figures:
    """What was measured of the file ``file`` (its place in the request). Milliseconds, and bytes of memory.

    ``description`` has the fields of :class:`deploy.runtimes.Description`, ``environment`` those of
    :class:`deploy.environment.Environment`, ``operators`` and ``sensors`` those of the records called so.
    ``together`` is the number of files that were interleaved.
    """

    file: int
    conditions: Conditions
    description: Mapping[str, Any]
    inputs: Mapping[str, str]
    device: str
    environment: Mapping[str, Any]
    together: int
    warmup_runs: int
    warmup_seconds: float
    stationary: bool
    milliseconds: Sequence[float]
    load_time: float
    first_inference: float
    idle_memory: int | None
    peak_memory: int | None
    operators: Sequence[Mapping[str, Any]] = ()
    no_operators: str | None = None
    sensors: Sequence[Mapping[str, Any]] = ()
    no_sensors: str | None = None


@dataclass(frozen=True)
class Mishap:
    """Why the file ``file`` was not measured. ``kind`` is one of those of :class:`deploy.records.Failure`."""

    file: int
    conditions: Conditions
    kind: str
    reason: str
    hint: str | None = None


@dataclass
class Answer:
    """All that a device had to say. ``machine`` and ``runtimes`` are told when a description was asked for."""

    figures: list[Figures] = field(default_factory=list)
    mishaps: list[Mishap] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=dict)
    runtimes: dict[str, str | None] = field(default_factory=dict)

    def add(self, event: Mapping[str, Any]) -> None:
        """Take in one event; those that carry nothing to keep are passed over.

        Raises:
            CompressError: the event is an error: the request was wrong, or cannot be met.
            ValueError: the event is not of this protocol.
        """
        kind = event.get("event")
        try:
            if kind == "figures":
                self.figures.append(_figures(event["figures"]))
            elif kind == "mishap":
                self.mishaps.append(_mishap(event["mishap"]))
            elif kind == "machine":
                self.machine, self.runtimes = dict(event["machine"]), dict(event["runtimes"])
            elif kind == "error":
                raise error(event)
            elif kind not in ("progress", "done"):
                raise ValueError(f"no event is called {kind!r}")
        except (KeyError, TypeError) as wrong:
            raise ValueError(f"the event {kind!r} is not as it should be ({wrong})") from wrong


def request_line(request: MeasureRequest | None) -> str:
    """Return the line that asks for a measurement, or with ``None`` for a description of the device."""
    if request is None:
        return json.dumps({"protocol": VERSION, "verb": "describe"})
    return json.dumps({"protocol": VERSION, "verb": "measure", "request": dataclasses.asdict(request)})


def read_request(line: str) -> MeasureRequest | None:
    """Return what :func:`request_line` made the line of.

    Raises:
        InputError: the line is something else, or of another version of the protocol.
    """
    try:
        asked = json.loads(line)
        version, verb = asked["protocol"], asked["verb"]
        if version != VERSION:
            raise InputError(f"speaks version {VERSION} of the protocol, was asked in version {version}")
        if verb == "describe":
            return None
        if verb == "measure":
            return MeasureRequest(**asked["request"])
    except (ValueError, KeyError, TypeError) as wrong:
        raise InputError(f"was asked for something that is no request ({wrong})") from wrong
    raise InputError(f"was asked to {verb}, which it cannot do")


def error_event(error: CompressError) -> dict[str, Any]:
    """Return the event that tells of ``error``."""
    told = {"what": error.what, "where": error.where, "hint": error.hint, "exit_code": error.exit_code}
    return {"event": "error", **told}


def error(event: Mapping[str, Any]) -> CompressError:
    """Return the error that an event tells of."""
    kind = _ERRORS.get(event["exit_code"], InputError)
    return kind(event["what"], where=event["where"], hint=event["hint"])


def said(error: CompressError, file: str) -> str:
    """Return what is wrong with ``file``; where it is something beside it that is wrong, that is named."""
    if error.where is None or error.where == file:
        return error.what
    return f"{Path(error.where).name} {error.what}"


def _figures(told: Mapping[str, Any]) -> Figures:
    return Figures(**{**told, "conditions": Conditions(**told["conditions"])})


def _mishap(told: Mapping[str, Any]) -> Mishap:
    return Mishap(**{**told, "conditions": Conditions(**told["conditions"])})
