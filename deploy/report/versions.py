"""Reports of older versions, brought to the present one step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Data = dict[str, Any]


def _from_1(data: Data) -> Data:
    """Version 1 knew neither points nor failures, neither a compatibility matrix nor explanations nor searches."""
    missing = data.get("missing")
    reasons = dict.fromkeys(("points", "matrix", "why", "search", "spaces"), "report version 1 did not hold it")
    return {
        **data,
        "version": 2,
        "missing": {**reasons, **missing} if isinstance(missing, dict) else missing or reasons,
    }


_STEPS: dict[int, Callable[[Data], Data]] = {1: _from_1}
OLDEST = min(_STEPS)


def upgraded(data: Data) -> Data:
    """Return a report as read from JSON, of a version from ``OLDEST`` on, in the present version."""
    while (step := _STEPS.get(data["version"])) is not None:
        data = step(data)
    return data
