"""The log of a run: one row per epoch, as CSV for people and JSON for machines."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from compress.files import write_text

CSV_NAME = "history.csv"
JSON_NAME = "history.json"

Row = dict[str, Any]


def write_history(folder: Path, rows: list[Row], identity: dict[str, Any]) -> None:
    """Write ``history.csv`` and ``history.json`` to ``folder``, each atomically and in full."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(folder / CSV_NAME, text.getvalue())
    write_text(folder / JSON_NAME, json.dumps({"version": 1, "run": identity, "epochs": rows}, indent=2) + "\n")
