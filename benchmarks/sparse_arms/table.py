"""The tables in ``benchmarks/README.md``, between their two comments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compress.files import write_text

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
    """One table for each number of threads and batch: networks down, arms across."""
    parts = []
    for threads, batch in sorted({(row["threads"], row["batch"]) for row in rows}):
        found = [row for row in rows if (row["threads"], row["batch"]) == (threads, batch)]
        names = sorted({key for row in found for key in row["arms"] if key != "dense"}, key=_order)
        head = ["network", "dense", *names]
        lines = [head, ["---"] * len(head)]
        for row in found:
            cells = [_cell(row["arms"].get(name)) for name in names]
            lines.append([row["network"], f"{row['arms']['dense']['ms']:.2f} ms", *cells])
            sizes = [_size(row["arms"].get(name)) for name in names]
            lines.append(["", _size(row["arms"]["dense"]), *sizes])
        title = f"{threads} thread{'s' * (threads > 1)}, batch {batch}"
        parts.append(f"**{title}**\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines))
    return "\n\n".join(parts)


def _order(name: str) -> tuple[int, str]:
    return ("zeros", "int8").index(name) if name in ("zeros", "int8") else 2, name


def _cell(arm: dict[str, Any] | None) -> str:
    return f"{arm['speedup']:.2f} x" if arm else "not run"


def _size(arm: dict[str, Any] | None) -> str:
    return f"{arm['bytes'] / 1e6:.1f} MB" if arm else "not run"
