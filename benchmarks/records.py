"""Results as lines of JSON, of each key the last, and tables between two comments of a Markdown file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from compress.files import write_text


def rows(path: Path, key: Callable[[dict[str, Any]], Any]) -> list[dict[str, Any]]:
    """Of every key, the row that was written last."""
    lines = path.read_text().splitlines() if path.exists() else []
    return list({key(row): row for row in map(json.loads, lines)}.values())


def add(path: Path, row: dict[str, Any]) -> None:
    """Append a row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        stream.write(json.dumps(row) + "\n")


def write_table(path: Path, mark: str, table: str) -> None:
    """Replace what is between ``<!-- MARK: begin -->`` and ``<!-- MARK: end -->``.

    Raises:
        SystemExit: the file has no such comments.
    """
    text, begin, end = path.read_text(), f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    if begin not in text or end not in text:
        raise SystemExit(f"{path} lacks the comments {begin} and {end}")
    before, after = text.split(begin)[0], text.split(end)[1]
    write_text(path, f"{before}{begin}\n{table}\n{end}{after}", overwrite=True)
