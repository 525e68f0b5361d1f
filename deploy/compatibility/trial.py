"""What a process of its own does: load a file in a runtime, run it once, and say where its nodes went."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from compress.errors import CompressError, UnavailableError
from deploy import runtimes
from deploy.feeds import make_feeds
from deploy.runner.worker import Reporter
from deploy.runtimes.base import Array, Session
from deploy.sensors import device_of

RUN = "deploy.compatibility.trial:run"
LOAD_EACH = "deploy.compatibility.trial:load_each"


def run(asked: Mapping[str, Any], reporter: Reporter) -> dict[str, Any]:
    """Load one file, run it unless ``run`` is false, and describe; what fails raises.

    Args:
        asked: ``path``, ``runtime``, ``threads``, ``run``; ``feeds`` is a file of inputs, or None to make some up by
            ``seed``; ``outputs`` a file to write.
    """
    reporter.at(0)
    runtime = runtimes.get(asked["runtime"])
    reporter.say(0.0, "loading")
    runtime.prepare()
    session = runtime.load(Path(asked["path"]), threads=asked["threads"])
    said = session.describe()
    found: dict[str, Any] = {"version": said.version, "provider": said.provider, "placement": None}
    found["device"] = device_of(said.provider)
    if asked["run"]:
        reporter.say(0.5, "running")
        _save(session.run(_feeds(session, asked)), asked["outputs"])
    try:
        found["placement"] = session.placement()
    except UnavailableError as error:
        found["no_placement"] = error.what
    return found


def load_each(asked: Mapping[str, Any], reporter: Reporter) -> list[dict[str, Any]]:
    """Load every file of ``items``, each with its ``path`` and ``runtime``; return the fields of an answer for each."""
    answers: list[dict[str, Any]] = []
    for index, item in enumerate(asked["items"]):
        reporter.at(index)
        reporter.pulse(index / len(asked["items"]), "loading operators")
        try:
            runtime = runtimes.get(item["runtime"])
            runtime.prepare()
            runtime.load(Path(item["path"]), threads=1)
            answers.append({"value": True})
        except CompressError as error:
            answers.append({"ended": "refused", "reason": error.what})
    return answers


def _feeds(session: Session, asked: Mapping[str, Any]) -> dict[str, Array]:
    if asked["feeds"] is None:
        return make_feeds(session, batch=1, seed=asked["seed"])
    with np.load(asked["feeds"]) as arrays:
        return {spec.name: arrays[spec.name] for spec in session.inputs}


def _save(outputs: Any, path: str) -> None:
    """Write what can be compared. Raises :class:`UnavailableError` without room for it: the file is not to blame."""
    arrays = {str(index): value for index, value in enumerate(outputs) if isinstance(value, np.ndarray)}
    numbers = {name: array for name, array in arrays.items() if array.dtype.kind in "fiub"}
    try:
        np.savez(path, **numbers)  # type: ignore[arg-type]  # names are no words of its own
    except OSError as error:
        raise UnavailableError(f"its outputs cannot be written ({error.strerror or error})") from error
