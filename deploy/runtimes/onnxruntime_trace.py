"""What ONNX Runtime's own profiler wrote down: how long each node of the optimised graph took.

Its file is a list of events; times are whole microseconds, cut off
(https://onnxruntime.ai/docs/performance/tune-performance/profiling-tools.html).
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_KERNEL = "_kernel_time"
_CONTROL = ("If", "Loop", "Scan")  # the time of their inner nodes is in theirs


@dataclass(frozen=True)
class Timed:
    """A node of the optimised graph: its name, operator, provider and median time in milliseconds."""

    name: str
    operator: str
    provider: str
    milliseconds: float


def read(path: Path, *, skipped: int) -> list[Timed]:
    """Return the nodes in the order of execution, their medians over all runs but the first ``skipped``.

    Raises:
        ValueError, KeyError: the file is not what ONNX Runtime writes.
    """
    events: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    runs = sorted((event["ts"], event["ts"] + event["dur"]) for event in events if event["name"] == "model_run")
    kernels = [event for event in events if event.get("cat") == "Node" and event["name"].endswith(_KERNEL)]
    kernels = _outermost(sorted(kernels, key=lambda event: event["ts"]))
    durations: dict[tuple[str, str], list[int]] = {}
    first: dict[tuple[str, str], dict[str, Any]] = {}
    counted = runs[skipped:]
    for event in kernels:
        if not counted or event["ts"] < counted[0][0]:
            continue
        key = (str(event["args"].get("node_index", "")), event["name"])
        durations.setdefault(key, []).append(event["dur"])
        first.setdefault(key, event)
    return [
        Timed(
            event["name"][: -len(_KERNEL)],
            event["args"]["op_name"],
            event["args"].get("provider", ""),
            _median(durations[key], len(counted)) / 1e3,
        )
        for key, event in first.items()
    ]


def _outermost(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    end = -1
    for event in events:
        if event["ts"] < end:
            continue
        kept.append(event)
        if event["args"]["op_name"] in _CONTROL:
            end = event["ts"] + event["dur"]
    return kept


def _median(durations: Sequence[int], runs: int) -> float:
    """The median of times that were cut off to whole microseconds, as of grouped data: never 0 for what took time."""
    if len(durations) > runs:  # a node that runs more than once in a run
        return sum(durations) / runs + 0.5
    return statistics.median_grouped(durations, interval=1) + 0.5
