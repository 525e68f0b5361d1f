"""What is done in a process of its own: probe one file, time several together, take one apart into operators."""

from __future__ import annotations

import dataclasses
import functools
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compress.errors import UnavailableError
from deploy import machine, runtimes
from deploy.feeds import make_feeds
from deploy.runner.worker import Reporter
from deploy.runtimes.base import Array, Session
from deploy.sensors import Sensors, device_of, sensors_of
from deploy.timing import Observer, interleaved, warm_up

_RUNS = 5  # of a probe, until the peak of memory is taken
_FEWEST_ROUNDS = 5
_MOST_ROUNDS = 20_000
_WARMING = 0.5  # share of the time after which warm-up is over at the latest
_SENSED = 0.25  # seconds between two samples of the sensors


def describe(_arguments: Mapping[str, Any], _reporter: Reporter) -> dict[str, Any]:
    """Return the facts of this machine, and why those of its runtimes that cannot be used cannot."""
    return {"machine": machine.facts(), "runtimes": runtimes.names()}


def look(arguments: Mapping[str, Any], reporter: Reporter) -> dict[str, Any]:
    """Return, of the ``runtimes`` asked for, why those ``absent`` are, and the endings that each of them ``reads``.

    Also ``fitting``: by ending of the ``files`` asked for, the names of all runtimes that read such files.

    Raises:
        InputError: no runtime is called so.
    """
    absent: dict[str, dict[str, str | None]] = {}
    for index, name in enumerate(arguments["runtimes"]):
        reporter.at(index)
        try:
            runtimes.get(name)
        except UnavailableError as error:
            absent[name] = {"reason": error.what, "hint": error.hint}
    endings = {Path(file).suffix.lower() for file in arguments["files"]}
    return {
        "absent": absent,
        "reads": {name: list(runtimes.suffixes(name)) for name in arguments["runtimes"]},
        "fitting": {ending: runtimes.reading(ending) for ending in endings},
    }


def probe(arguments: Mapping[str, Any], reporter: Reporter) -> dict[str, Any]:
    """Load and run one file in this process, which no other has warmed, filled or damaged."""
    (path,) = arguments["files"]
    name = Path(path).name
    runtime = runtimes.get(arguments["runtime"])
    reporter.at(0)
    reporter.say(0.0, f"preparing {runtime.name}")
    runtime.prepare()
    idle = peak_memory()
    reporter.say(0.2, f"loading {name}")
    start = time.perf_counter()
    session = runtime.load(Path(path), threads=arguments["threads"])
    loaded = time.perf_counter()
    feeds = _feeds(session, arguments)
    reporter.say(0.5, f"running {name} for the first time")
    began = time.perf_counter()
    session.run(feeds)
    ended = time.perf_counter()
    for done in range(_RUNS):
        reporter.say(0.6 + 0.4 * done / _RUNS, f"running {name}")
        session.run(feeds)
    said = session.describe()
    return {
        "load_time": (loaded - start) * 1e3,
        "first_inference": (ended - began) * 1e3,
        "idle_memory": idle,
        "peak_memory": peak_memory(),
        "description": {**dataclasses.asdict(said), "settings": dict(said.settings)},
        "inputs": {name: f"{array.dtype}{list(array.shape)}" for name, array in feeds.items()},
        "device": device_of(said.provider),
    }


def together(arguments: Mapping[str, Any], reporter: Reporter) -> dict[str, Any]:
    """Load several files and run them interleaved in random order, first until they are warm, then counted."""
    runtime = runtimes.get(arguments["runtime"])
    runtime.prepare()
    calls = []
    provider = ""
    for index, path in enumerate(arguments["files"]):
        reporter.at(index)
        reporter.say(0.0, f"loading {Path(path).name}")
        session = runtime.load(Path(path), threads=arguments["threads"])
        feeds = _feeds(session, arguments)
        reporter.say(0.0, f"running {Path(path).name}")
        session.run(feeds)
        calls.append(functools.partial(session.run, feeds))
        provider = session.describe().provider
    around = machine.facts()
    seconds, seed = arguments["seconds"] * len(calls), arguments["seed"]
    warmth = warm_up(calls, limit=seconds, seed=seed, observer=_Watch(reporter, "warming up", 0.0, _WARMING))
    sensors = sensors_of(provider)
    watch = _Watch(reporter, "measuring", _WARMING, 1.0, sensors)
    series = interleaved(calls, seconds=seconds, fewest=_FEWEST_ROUNDS, most=_MOST_ROUNDS, seed=seed, observer=watch)
    watch.sense()
    return {
        "environment": around,
        "warmup_runs": warmth.runs,
        "warmup_seconds": warmth.seconds,
        "stationary": warmth.stationary,
        "milliseconds": [[value * 1e3 for value in values] for values in series],
        "sensors": watch.samples,
        "no_sensors": sensors.why_not(),
    }


def operators(arguments: Mapping[str, Any], reporter: Reporter) -> list[dict[str, Any]]:
    """Return the fields of :class:`deploy.records.OperatorTime` for each operator of one file."""
    (path,) = arguments["files"]
    reporter.at(0)
    reporter.say(0.0, f"loading {Path(path).name} for its operators")
    runtime = runtimes.get(arguments["runtime"])
    runtime.prepare()
    session = runtime.load(Path(path), threads=arguments["threads"])
    feeds = _feeds(session, arguments)
    reporter.say(0.3, f"timing the operators of {Path(path).name}")
    return [
        {**dataclasses.asdict(timing), "nodes": list(timing.nodes), "layers": list(timing.layers)}
        for timing in session.operator_times(feeds)
    ]


class _Watch(Observer):
    """Passes on what is run, shows the progress from ``begin`` to ``end``, and samples sensors between rounds."""

    def __init__(self, reporter: Reporter, text: str, begin: float, end: float, sensors: Sensors | None = None) -> None:
        self.samples: list[dict[str, Any]] = []
        self._reporter = reporter
        self._text = text
        self._begin = begin
        self._span = end - begin
        self._sensors = sensors if sensors is not None and sensors.why_not() is None else None
        self._sensed = 0.0

    def before_call(self, index: int, share: float) -> None:
        self._reporter.at(index)
        self._reporter.pulse(self._begin + self._span * share, self._text)

    def after_round(self) -> None:
        if time.perf_counter() - self._sensed > _SENSED:
            self.sense()

    def sense(self) -> None:
        """Take one sample of the sensors, where there are any."""
        if self._sensors is not None:
            self.samples.append(self._sensors.sample())
        self._sensed = time.perf_counter()


def _feeds(session: Session, arguments: Mapping[str, Any]) -> dict[str, Array]:
    return make_feeds(session, batch=arguments["batch"], sizes=arguments["sizes"], seed=arguments["seed"])


def peak_memory() -> int | None:
    """Return this process's peak resident memory in bytes, or ``None`` where the system does not tell."""
    status = Path("/proc/self/status")
    if status.is_file():
        # getrusage would report the parent's peak: Linux carries ru_maxrss over fork and exec.
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None
