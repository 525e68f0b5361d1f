"""Layer name patterns: which groups ``--ignore`` protects and ``--keep`` decides."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Mapping

from compress.axes.analysis import Analysis
from compress.axes.groups import Group
from compress.errors import PlanError


def protected(analysis: Analysis, patterns: Iterable[str]) -> dict[str, str]:
    """Return the groups whose width stays, by name, with the reason: a layer that produces them matches a pattern.

    Raises:
        PlanError: a pattern matches no layer.
    """
    found: dict[str, str] = {}
    for pattern in patterns:
        _require_match(analysis, pattern, "--ignore")
        for group in analysis.prunable:
            if any(_matches(layer, pattern) for layer in group.producers):
                found.setdefault(group.name, f"--ignore {pattern}")
    return found


def ratios(analysis: Analysis, keep: Mapping[str, float]) -> dict[str, float]:
    """Return the keep ratio decided for each group by name; of several patterns that match, the last counts.

    Raises:
        PlanError: a pattern matches no layer, or a ratio is not between 0 and 1.
    """
    found: dict[str, float] = {}
    for pattern, ratio in keep.items():
        if not 0 < ratio <= 1:
            raise PlanError(f"keep ratio {ratio:g} for {pattern!r} is not between 0 and 1", hint="0.25 keeps a quarter")
        _require_match(analysis, pattern, "--keep")
        for group in analysis.prunable:
            if any(_matches(layer, pattern) for layer in group.producers):
                found[group.name] = ratio
    return found


def layer_names(groups: Iterable[Group]) -> list[str]:
    """Every layer that produces one of ``groups``, once."""
    return list(dict.fromkeys(layer for group in groups for layer in group.producers))


def _matches(layer: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(layer, pattern)


def _require_match(analysis: Analysis, pattern: str, option: str) -> None:
    names = layer_names(analysis.groups)
    if any(_matches(name, pattern) for name in names):
        return
    near = difflib.get_close_matches(pattern, names, n=3, cutoff=0.4) or names[:3]
    raise PlanError(
        f"{option} {pattern!r} matches no layer", hint=f"layers are named like {', '.join(near)}; * matches anything"
    )
