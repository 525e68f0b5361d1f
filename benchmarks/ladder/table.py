"""The Markdown table of the results: a line for each network, totals for each zoo, and every exception by name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.ladder import rows
from benchmarks.ladder.columns import COLUMNS
from benchmarks.ladder.rows import Row
from compress.errors import InputError
from compress.files import write_text

ZOOS = ("torchvision", "timm")
SHORT = {
    "captured": "cap",
    "pruned": "half",
    "proven": "proof",
    "trained": "train",
    "built": "graph",
    "stepped": "step",
    "forward": "fwd",
    "backward": "bwd",
    "reloaded": "file",
    "onnx": "onnx",
    "tensorrt": "trt",
}
BEGIN, END = "<!-- prunability: begin -->", "<!-- prunability: end -->"
PASSED, FAILED, UNREACHED, NOT_RUN = "+", "**x**", "·", "–"


def write_into(path: Path, folder: Path) -> None:
    """Replace what stands between the two marks in a Markdown file by the table.

    Raises:
        InputError: the file has no such marks.
    """
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError("has no place for the table", where=str(path), hint=f"write {BEGIN} and {END} into it")
    write_text(path, f"{before}{BEGIN}\n\n{table(folder)}\n{END}{after}", overwrite=True)


def table(folder: Path) -> str:
    """Return the Markdown text for the results in ``folder``; a column without a file is left out."""
    rungs = {column: COLUMNS[column]().rungs for column in COLUMNS if (folder / f"{column}.jsonl").exists()}
    found = {column: rows.read(folder / f"{column}.jsonl") for column in rungs}
    parts = [_totals(found, rungs), _conditions(found), _exceptions(found), _networks(found, rungs)]
    return "\n".join(parts)


def _totals(found: Mapping[str, Mapping[str, Row]], rungs: Mapping[str, tuple[str, ...]]) -> str:
    lines = []
    for column, names in rungs.items():
        lines += [
            f"| {column} | networks | " + " | ".join(names) + " | all of them |",
            "|---" * (len(names) + 3) + "|",
        ]
        for zoo in ZOOS:
            mine = [row for ref, row in found[column].items() if ref.startswith(zoo)]
            counts = [_count(mine, name) for name in names]
            asked = [row for row in mine if rows.is_complete(row, names)]
            whole = sum(set(names) <= set(row["rungs"]) for row in asked)
            share = f" ({100 * whole / len(asked):.1f} %)" if asked else ""
            of = f" of {len(asked)}" if len(asked) < len(mine) else ""
            lines.append(f"| {zoo} | {len(mine)} | " + " | ".join(counts) + f" | {whole}{of}{share} |")
        lines.append("")
    return "\n".join(lines)


def _count(mine: Sequence[Row], name: str) -> str:
    """Networks that passed the rung; of how many, where it was not run for all."""
    asked = sum(_mark(row, name) != NOT_RUN for row in mine)
    passed = sum(name in row["rungs"] for row in mine)
    return str(passed) if asked == len(mine) else f"{passed} of {asked}"


def _conditions(found: Mapping[str, Mapping[str, Row]]) -> str:
    lines = []
    for column, mine in found.items():
        commits = Counter(row["commit"] for row in mine.values())
        versions = {name: value for row in mine.values() for name, value in row["versions"].items() if value}
        seconds = sorted(sum(row["cpu_seconds"].values()) for row in mine.values())
        lines += [
            f"{column}: CPU seconds for a network, all rungs: median {_quantile(seconds, 0.5):.0f}, "
            f"nine in ten under {_quantile(seconds, 0.9):.0f}; "
            + "networks by commit: "
            + ", ".join(f"{commit} {count}" for commit, count in commits.most_common())
            + "; "
            + ", ".join(f"{name} {value}" for name, value in versions.items())
            + ".",
            "",
        ]
    return "\n".join(lines)


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def _exceptions(found: Mapping[str, Mapping[str, Row]]) -> str:
    lines = []
    for column, mine in found.items():
        failed = [(ref, rung, why) for ref, row in sorted(mine.items()) for rung, why in row["failed"].items()]
        if failed:
            lines += [f"Exceptions, {column}:", "", "| network | rung | reason |", "|---|---|---|"]
            lines += [f"| {ref} | {rung} | {_cell(why)} |" for ref, rung, why in failed] + [""]
    return "\n".join(lines)


def _networks(found: Mapping[str, Mapping[str, Row]], rungs: Mapping[str, tuple[str, ...]]) -> str:
    head = ["network"]
    for column, names in rungs.items():
        head += [f"{column}: " + " ".join(SHORT[name] for name in names), "MACs", "CPU s", "MB"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for ref in _refs(found.values()):
        cells = [ref]
        for column, names in rungs.items():
            cells += _row_cells(found[column].get(ref), names)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _refs(columns: Iterable[Mapping[str, Row]]) -> list[str]:
    """Torchvision first, by name."""
    return sorted({ref for mine in columns for ref in mine}, key=lambda ref: (not ref.startswith(ZOOS[0]), ref))


def _row_cells(row: Row | None, names: tuple[str, ...]) -> list[str]:
    if row is None:
        return ["not run", "", "", ""]
    marks = " ".join(_mark(row, name) for name in names)
    macs = f"{row['macs']:.3f}" if "macs" in row else ""
    return [marks, macs, f"{sum(row['cpu_seconds'].values()):.0f}", str(row.get("peak_mb", ""))]


def _mark(row: Row, rung: str) -> str:
    if rung in row["rungs"]:
        return PASSED
    if not row["failed"]:
        return NOT_RUN  # asked for the first rungs only
    return FAILED if rung in row["failed"] else UNREACHED


def _cell(text: str) -> str:
    """Nothing in a cell may end it, and no path of the machine it was made on belongs into a report."""
    return re.sub(r"(?:/[\w.+-]+){2,}/", "…/", text).replace("|", "\\|").replace("\n", " ")[:240]
