"""Measure as a request says: every file once alone, then all that can run together, under each set of conditions."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from compress.errors import InputError, UnavailableError
from deploy.runner import children
from deploy.runner.children import ChildError, TaskError
from deploy.runner.protocol import Conditions, Figures, MeasureRequest, Mishap, said

Emit = Callable[[Mapping[str, Any]], None]

_ASKING = 120.0  # seconds that runtimes have for saying whether they are here
_PROBING, _OPERATORS = 0.3, 0.2  # shares of the progress


def describe(emit: Emit) -> None:
    """Emit what machine this is, and which runtimes are here."""
    try:
        told = _ask("describe", {}, emit)
    except ChildError as error:
        raise UnavailableError(f"a runtime {error.reason} when it was asked whether it is here") from error
    emit({"event": "machine", **told})


def measure(request: MeasureRequest, emit: Emit) -> None:
    """Emit figures or a mishap for every file, under every set of conditions whose runtime reads such files.

    Raises:
        InputError: a runtime has an unknown name, or an argument makes no sense.
    """
    check(request)
    known = _Known(request, emit)
    sets = all_conditions(request)
    for number, conditions in enumerate(sets):
        condition = _Condition(request, conditions, emit, number / len(sets), 1 / len(sets))
        if not condition.measure(known):
            return
    emit({"event": "progress", "share": 1.0, "text": "measured"})


def all_conditions(request: MeasureRequest) -> list[Conditions]:
    """Return every combination that ``request`` asks for, in the order in which they are measured."""
    combinations = itertools.product(request.runtimes, request.threads, request.batches)
    return [Conditions(runtime, threads, batch) for runtime, threads, batch in combinations]


def check(request: MeasureRequest) -> None:
    """Raise :class:`InputError` for an argument that makes no sense, before anything starts."""
    for name, values in (("threads", request.threads), ("batch", request.batches)):
        if not values:
            raise InputError(f"no {name} was given to measure with")
        for value in values:
            if value < 1:
                raise InputError(f"{name} {value} was asked for", hint="give 1 or more")
    if not request.runtimes:
        raise InputError("no runtime was given to measure in")
    if not 0 < request.seconds < float("inf"):
        raise InputError(f"seconds is {request.seconds}", hint="give a finite number above 0")
    if not 0 < request.timeout < float("inf"):
        raise InputError(f"timeout is {request.timeout}", hint="give a finite number above 0")


class _Known:
    """Which of the runtimes asked for are here, and which of the files they read."""

    def __init__(self, request: MeasureRequest, emit: Emit) -> None:
        self._absent: dict[str, dict[str, str | None]] = {}
        told = self._look(request, emit)
        self._absent.update(told["absent"])
        self._reads: dict[str, list[str]] = told["reads"]
        self._fitting: dict[str, list[str]] = told["fitting"]

    def _look(self, request: MeasureRequest, emit: Emit) -> dict[str, Any]:
        """Ask until no runtime crashes on being asked: one that does is not here."""
        asked = list(dict.fromkeys(request.runtimes))
        while True:
            try:
                told: dict[str, Any] = _ask("look", {"runtimes": asked, "files": list(request.files)}, emit)
            except ChildError as error:
                if error.at is None:
                    raise UnavailableError(f"the package cannot be used here: it {error.reason}") from error
                name = asked.pop(error.at)
                reason = f"{name} {error.reason} when it was asked whether it is here"
                self._absent[name] = {"reason": reason, "hint": error.hint}
            else:
                return told

    def refusal(self, runtime: str, file: str) -> tuple[str, str, str | None] | None:
        """Return kind, reason and hint why ``runtime`` does not even try ``file``, or ``None`` where it does."""
        ending, reads = _ending(file), self._reads.get(runtime)
        if reads and ending not in reads:
            fitting = self._fitting[ending]
            hint = f"it fits {', '.join(fitting)}" if fitting else "no runtime known here reads such files"
            return "refused", f"{runtime} reads {' and '.join(reads)}, not {ending or 'a file without an ending'}", hint
        if runtime in self._absent:
            return "unavailable", str(self._absent[runtime]["reason"]), self._absent[runtime]["hint"]
        return None

    def elsewhere(self, runtime: str, file: str) -> bool:
        """Whether ``file`` is none for ``runtime``, but is for another that was asked for."""
        ending, reads = _ending(file), self._reads.get(runtime, [])
        return bool(reads) and ending not in reads and any(ending in others for others in self._reads.values())


def _ending(file: str) -> str:
    return PurePath(file).suffix.lower()


class _StoppedError(Exception):
    """The first mishap of a request that does not keep going."""


class _Condition:
    """One set of conditions: which files are still in, and what is known of them."""

    def __init__(self, request: MeasureRequest, conditions: Conditions, emit: Emit, begin: float, span: float) -> None:
        self._request = request
        self._conditions = conditions
        self._emit = emit
        self._begin = begin
        self._span = span
        self._share = begin

    def measure(self, known: _Known) -> bool:
        """Emit everything; return whether to go on with other conditions."""
        try:
            probes = self._probe(self._choose(known))
            timed, files = self._time(list(probes))
            for place, file in enumerate(files):
                self._emit_figures(file, probes[file], timed, place, len(files))
        except _StoppedError:
            return False
        return True

    def _choose(self, known: _Known) -> list[int]:
        chosen = []
        for file, path in enumerate(self._request.files):
            if known.elsewhere(self._conditions.runtime, path):
                continue
            refusal = known.refusal(self._conditions.runtime, path)
            if refusal is None:
                chosen.append(file)
            else:
                self._mishap(Mishap(file, self._conditions, *refusal))
        return chosen

    def _probe(self, files: Sequence[int]) -> dict[int, dict[str, Any]]:
        probes: dict[int, dict[str, Any]] = {}
        for place, file in enumerate(files):
            tick = self._ticker(_PROBING * place / len(files), _PROBING / len(files))
            try:
                probes[file] = self._run("probe", [file], tick)
            except (ChildError, TaskError) as error:
                self._mishap(self._blame(file, error))
        return probes

    def _time(self, files: list[int]) -> tuple[dict[str, Any], list[int]]:
        """Time ``files`` together; where one brings the process down, time the others without it."""
        share = 1 - _PROBING - (_OPERATORS if self._request.operators else 0)
        while files:
            try:
                return self._run("together", files, self._ticker(_PROBING, share)), files
            except (ChildError, TaskError) as error:
                guilty = files[error.at or 0]
                self._mishap(self._blame(guilty, error))
                files = [file for file in files if file != guilty]
        return {}, files

    def _emit_figures(
        self, file: int, probed: Mapping[str, Any], timed: Mapping[str, Any], place: int, count: int
    ) -> None:
        operators, no_operators = self._operators(file, place, count)
        figures = Figures(
            file=file,
            conditions=self._conditions,
            together=count,
            operators=operators,
            no_operators=no_operators,
            **probed,
            **{**timed, "milliseconds": timed["milliseconds"][place]},
        )
        self._emit({"event": "figures", "figures": dataclasses.asdict(figures)})

    def _operators(self, file: int, place: int, count: int) -> tuple[Sequence[Mapping[str, Any]], str | None]:
        if not self._request.operators:
            return [], "not asked for"
        tick = self._ticker(1 - _OPERATORS + _OPERATORS * place / count, _OPERATORS / count)
        try:
            return self._run("operators", [file], tick), None
        except ChildError as error:
            return [], error.reason
        except TaskError as error:
            return [], error.error.what

    def _run(self, task: str, files: Sequence[int], tick: children.Tick) -> Any:
        request = self._request
        arguments = {
            "files": [request.files[file] for file in files],
            "runtime": self._conditions.runtime,
            "threads": self._conditions.threads,
            "batch": self._conditions.batch,
            "sizes": dict(request.sizes),
            "seconds": request.seconds,
            "seed": request.seed,
        }
        return children.run(f"deploy.runner.tasks:{task}", arguments, timeout=request.timeout, tick=tick)

    def _ticker(self, begin: float, span: float) -> children.Tick:
        def tick(share: float, text: str) -> None:
            whole = self._begin + self._span * (begin + span * min(max(share, 0.0), 1.0))
            self._share = max(self._share, whole)  # what is measured again does not go back
            self._emit({"event": "progress", "share": self._share, "text": text})

        return tick

    def _blame(self, file: int, error: ChildError | TaskError) -> Mishap:
        if isinstance(error, ChildError):
            return Mishap(file, self._conditions, error.kind, error.reason, error.hint)
        kind = "unavailable" if isinstance(error.error, UnavailableError) else "refused"
        reason = said(error.error, self._request.files[file])
        return Mishap(file, self._conditions, kind, reason, error.error.hint)

    def _mishap(self, mishap: Mishap) -> None:
        self._emit({"event": "mishap", "mishap": dataclasses.asdict(mishap)})
        if not self._request.keep_going:
            raise _StoppedError


def _ask(task: str, arguments: Mapping[str, Any], emit: Emit) -> Any:
    def tick(_share: float, text: str) -> None:
        emit({"event": "progress", "share": 0.0, "text": text})

    try:
        return children.run(f"deploy.runner.tasks:{task}", arguments, timeout=_ASKING, tick=tick)
    except TaskError as error:
        raise error.error from error
