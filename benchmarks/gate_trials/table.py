"""The table in ``benchmarks/README.md``, between its two comments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from compress.files import write_text

BEGIN, END = "<!-- gate: begin -->", "<!-- gate: end -->"
RULES: dict[str, Callable[[dict[str, Any], float], bool]] = {
    "**compress gate**": lambda row, tolerance: row["gate"]["status"] == "fail",
    "30 + 30 runs, medians": lambda row, tolerance: row["blocks"]["median"] > tolerance,
    "30 + 30 runs, minima": lambda row, tolerance: row["blocks"]["min"] > tolerance,
    "as pytest-benchmark, median:{}": lambda row, tolerance: row["stored"]["median"] > tolerance,
    "as pytest-benchmark, min:{}": lambda row, tolerance: row["stored"]["min"] > tolerance,
}
ENDS = ("pass", "fail", "inconclusive", "unresolvable")
TITLES = {"same": "same file (A/A)", "plus3": "3 %", "plus5": "5 %", "plus10": "10 %"}


def write_into(path: Path, trials: Sequence[dict[str, Any]], truths: Sequence[dict[str, Any]]) -> None:
    """Replace what is between the comments.

    Raises:
        SystemExit: the file has no such comments, or nothing was run yet.
    """
    text = path.read_text()
    if BEGIN not in text or END not in text or not trials:
        raise SystemExit(f"{path} lacks the comments {BEGIN} and {END}, or there are no results yet")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    write_text(path, f"{before}{BEGIN}\n{tables(trials, truths)}\n{END}{after}", overwrite=True)


def tables(trials: Sequence[dict[str, Any]], truths: Sequence[dict[str, Any]]) -> str:
    """Two tables for each arm: what every rule calls a regression, and how the gate ends and how long it takes."""
    parts = []
    for arm in sorted({row["arm"] for row in trials}):
        rows = [row for row in trials if row["arm"] == arm]
        kinds = [kind for kind in TITLES if any(row["kind"] == kind for row in rows)]
        truth = next((row["ratios"] for row in reversed(truths) if row["arm"] == arm), {})
        parts += [f"**{arm}**", _alarms(rows, kinds, truth), _endings(rows, kinds)]
    commits = ", ".join(sorted({row["commit"] for row in trials}))
    processors = ", ".join(sorted({row["cpu"] for row in trials}))
    return "\n\n".join([*parts, f"{processors}. Code: {commits}."])


def _alarms(rows: Sequence[dict[str, Any]], kinds: Sequence[str], truth: dict[str, Any]) -> str:
    head = ["calls it a regression", *(f"{TITLES[kind]}{_true(truth.get(kind))}" for kind in kinds)]
    tolerance = rows[0]["tolerance"]
    lines = [head, ["---"] * len(head)]
    for rule, alarmed in RULES.items():
        cells = []
        for kind in kinds:
            found = [alarmed(row, row["tolerance"]) for row in rows if row["kind"] == kind]
            cells.append(f"{sum(found)} of {len(found)} ({sum(found) / len(found):.1%})".replace("%", " %"))
        lines.append([rule.format(f"{tolerance * 100:g} %"), *cells])
    return _markdown(lines)


def _endings(rows: Sequence[dict[str, Any]], kinds: Sequence[str]) -> str:
    head = ["compress gate", "pass", "fail", "inconclusive", "refused", "median time", "90 % within", "resolution"]
    lines = [head, ["---"] * len(head)]
    for kind in kinds:
        found = [row["gate"] for row in rows if row["kind"] == kind]
        ends = [
            sum(gate["status"] == end for gate in found) for end in ("pass", "fail", "inconclusive", "unresolvable")
        ]
        seconds = sorted(gate["seconds"] for gate in found)
        finest = [gate["resolution"] for gate in found if gate["resolution"] is not None]
        resolution = f"{median(finest):.2%}".replace("%", " %") if finest else "none"
        times = [f"{median(seconds):.2f} s", f"{seconds[int(0.9 * (len(seconds) - 1))]:.2f} s"]
        lines.append([TITLES[kind], *map(str, ends), *times, resolution])
    return _markdown(lines)


def _true(truth: dict[str, float] | None) -> str:
    if truth is None:
        return ""
    return f", measured {(truth['ratio'] - 1) * 100:+.2f} ± {truth['error'] * 200:.2f} %"


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
