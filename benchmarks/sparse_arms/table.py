"""The tables in ``benchmarks/README.md``, between their two comments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compress.files import write_text

PATTERNS = ("unstructured", "2x1", "4x1")
BEGIN, END = "<!-- sparse: begin -->", "<!-- sparse: end -->"


def write_into(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Replace what is between the comments.

    Raises:
        SystemExit: the file has no such comments, or nothing was run yet.
    """
    text = path.read_text()
    if BEGIN not in text or END not in text or not rows:
        raise SystemExit(f"{path} lacks the comments {BEGIN} and {END}, or there are no results yet")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    write_text(path, f"{before}{BEGIN}\n{tables(rows)}\n{END}{after}", overwrite=True)


def tables(rows: Sequence[dict[str, Any]]) -> str:
    """One table for each number of threads and batch: networks and patterns down, shares of zeros across."""
    parts = []
    for threads, batch in sorted({(row["threads"], row["batch"]) for row in rows}):
        found = [row for row in rows if (row["threads"], row["batch"]) == (threads, batch)]
        shares = sorted({name.split()[1] for row in found for name in row["arms"] if " " in name}, key=float)
        head = ["network", "pattern", "dense", "zeros", "int8", *(f"{float(share):.0%}" for share in shares)]
        lines = [head, ["---"] * len(head), *(line for row in found for line in _lines(row, shares))]
        title = f"{threads} thread{'s' * (threads > 1)}, batch {batch}"
        parts.append(f"**{title}**\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines))
    commits = ", ".join(sorted({row["commit"] for row in rows}))
    return "\n\n".join([*parts, f"Code: {commits}."])


def _lines(row: dict[str, Any], shares: Sequence[str]) -> list[list[str]]:
    """A line for each pattern, the first with what stands beside them."""
    arms = row["arms"]
    patterns = sorted({name.split()[0] for name in arms if " " in name}, key=PATTERNS.index)
    dense = f"{arms['dense']['ms']:.2f} ms, {_size(arms['dense'])}"
    beside = [row["network"], dense, _cell(arms.get("zeros")), _cell(arms.get("int8"))]
    lines = []
    for pattern in patterns:
        network, *others = beside if pattern == patterns[0] else [""] * len(beside)
        lines.append([network, pattern, *others, *(_cell(arms.get(f"{pattern} {share}")) for share in shares)])
    return lines


def _cell(arm: dict[str, Any] | None) -> str:
    return f"{arm['speedup']:.2f} x, {_size(arm)}" if arm else "not run"


def _size(arm: dict[str, Any]) -> str:
    return f"{arm['bytes'] / 1e6:.1f} MB"
