"""The sequential test as a task of :mod:`deploy.runner`: in a process of its own, where a crash harms nobody else."""

from __future__ import annotations

import dataclasses
import functools
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
from deploy.timing import Call, Observer


def contest(arguments: Mapping[str, Any], reporter: Reporter) -> dict[str, Any]:
    """Decide between the two ``files``; see :meth:`deploy.duet.contest.Contest.run` for what is returned.

    Raises:
        InputError: a file does not load or run, or the files' inputs differ.
        UnavailableError: the runtime cannot be used here.
    """
    base, new = (Path(file) for file in arguments["files"])
    runtime = runtimes.get(arguments["runtime"])
    reporter.say(0.0, f"preparing {runtime.name}")
    runtime.prepare()
    feeds, described = _try(runtime, (base, new), arguments, reporter)
    terms = Terms(**{field.name: arguments[field.name] for field in dataclasses.fields(Terms)})
    loads = [functools.partial(_load, runtime, path, arguments["threads"], feeds) for path in (base, new)]
    around = machine.facts()
    watch = _Watch(reporter)
    found = Contest(loads[0], loads[1], terms, watch, watch.progress).run()
    return {**found, **described, "environment": around}


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
