"""Two files side by side as tasks of :mod:`deploy.runner`: in a process of their own, where crashes do no harm."""

from __future__ import annotations

import dataclasses
import functools
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compress.errors import InputError
from deploy import machine, runtimes
from deploy.duet.contest import Contest, Terms
from deploy.feeds import make_feeds
from deploy.runner.worker import Reporter
from deploy.runtimes.base import Array, Runtime, Session
from deploy.sensors import device_of
from deploy.timing import Call, Observer, time_once, warm_up


def contest(arguments: Mapping[str, Any], reporter: Reporter) -> dict[str, Any]:
    """Decide between the two ``files``; see :meth:`deploy.duet.contest.Contest.run` for what is returned.

    Raises:
        InputError: a file does not load or run, or the files' inputs differ.
        UnavailableError: the runtime cannot be used here.
    """
    runtime, paths, feeds, described = _open(arguments, reporter)
    terms = Terms(**{field.name: arguments[field.name] for field in dataclasses.fields(Terms)})
    loads = [functools.partial(_load, runtime, path, arguments["threads"], feeds) for path in paths]
    around = machine.facts()
    watch = _Watch(reporter)
    found = Contest(loads[0], loads[1], terms, watch, watch.progress).run()
    return {**found, **described, "environment": around}


def pairs(arguments: Mapping[str, Any], reporter: Reporter) -> dict[str, Any]:
    """Run both ``files`` in pairs, as many as fit into ``seconds`` by the pace of the warm-up: seconds of every run.

    Raises:
        InputError: a file does not load or run, or the files' inputs differ.
        UnavailableError: the runtime cannot be used here.
    """
    runtime, paths, feeds, described = _open(arguments, reporter)
    calls = [_load(runtime, path, arguments["threads"], feeds) for path in paths]
    around = machine.facts()
    watch = _Watch(reporter)
    watch.progress(0.0, "warming up")
    warmth = warm_up(calls, limit=arguments["seconds"] / 4, seed=arguments["seed"], observer=watch)
    planned = int(arguments["seconds"] / (warmth.seconds / warmth.runs))
    count = min(max(planned, arguments["fewest"]), arguments["most"])
    order = random.Random(arguments["seed"])
    taken: tuple[list[float], list[float]] = ([], [])
    for done in range(count):
        watch.progress(done / count, "measuring pairs")
        for index in order.sample((0, 1), 2):
            watch.before_call(index, 0.0)
            taken[index].append(time_once(calls[index]))
    return {
        **described,
        "environment": around,
        "warmup": {"runs": warmth.runs, "seconds": warmth.seconds, "stationary": warmth.stationary},
        "base": taken[0],
        "new": taken[1],
    }


def _open(
    arguments: Mapping[str, Any], reporter: Reporter
) -> tuple[Runtime, tuple[Path, Path], dict[str, Array], dict[str, Any]]:
    """The runtime, the files, the inputs of both, and what is told about them."""
    base, new = (Path(file) for file in arguments["files"])
    runtime = runtimes.get(arguments["runtime"])
    reporter.say(0.0, f"preparing {runtime.name}")
    runtime.prepare()
    feeds, described = _try(runtime, (base, new), arguments, reporter)
    return runtime, (base, new), feeds, described


def _try(
    runtime: Runtime, paths: tuple[Path, Path], arguments: Mapping[str, Any], reporter: Reporter
) -> tuple[dict[str, Array], dict[str, Any]]:
    """Load and run each file once, and see that both take the same inputs."""
    told: list[dict[str, str]] = []
    sessions: list[Session] = []
    feeds: dict[str, Array] = {}
    for index, path in enumerate(paths):
        reporter.at(index)
        reporter.say(0.0, f"loading {path.name}")
        session = runtime.load(path, threads=arguments["threads"])
        made = make_feeds(session, batch=arguments["batch"], sizes=arguments["sizes"], seed=arguments["seed"])
        told.append({name: f"{array.dtype}{list(array.shape)}" for name, array in made.items()})
        if told[0] != told[index]:
            raise InputError(
                f"its inputs {_say(told[index])} are not those of {paths[0].name}: {_say(told[0])}",
                where=str(path),
                hint="compare files that were exported with the same inputs",
            )
        feeds = feeds or made
        session.run(feeds)
        sessions.append(session)
    said = sessions[0].describe()
    description = {**dataclasses.asdict(said), "settings": dict(said.settings)}
    return feeds, {"description": description, "inputs": told[0], "device": device_of(said.provider)}


def _load(runtime: Runtime, path: Path, threads: int, feeds: Mapping[str, Array]) -> Call:
    return functools.partial(runtime.load(path, threads=threads).run, feeds)


class _Watch(Observer):
    """Says which file is run, and between runs that the process lives."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._share, self._text = 0.0, "loading"

    def before_call(self, index: int, share: float) -> None:
        self._reporter.at(index)
        self._reporter.pulse(self._share, self._text)

    def progress(self, share: float, text: str) -> None:
        """Say how far the test is."""
        self._share, self._text = share, text
        self._reporter.pulse(share, text)


def _say(inputs: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in inputs.items())
