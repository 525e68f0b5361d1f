"""The compatibility matrix set out for reading: a row for every runtime and device, a column for every file."""

from __future__ import annotations

import json
from dataclasses import dataclass

from deploy.compatibility.records import Cell, Matrix
from deploy.report.text import NOTHING

_CAPABILITY = "sm "
TONES = {
    "runs": "ok",
    "runs in part": "part",
    "compiles": "part",
    "refused": "no",
    "crashed": "no",
    "hung": "no",
    "not tested here": "none",
}


@dataclass(frozen=True)
class Line:
    """One runtime on one device class, and its cell for every file in the order of the matrix's files."""

    runtime: str
    device: str
    cells: list[Cell]


def files(matrix: Matrix) -> list[str]:
    """Return the files of ``matrix`` in the order of their first cell."""
    return list(dict.fromkeys(cell.file for cell in matrix.cells))


def lines(matrix: Matrix) -> list[Line]:
    """Return the matrix line by line. A cell that was not recorded says so: none is blank."""
    known = {(cell.runtime, cell.device, cell.file): cell for cell in matrix.cells}
    places = dict.fromkeys((cell.runtime, cell.device) for cell in matrix.cells)
    every = [
        Line(
            runtime,
            device,
            [known.get((runtime, device, file)) or _none(file, runtime, device) for file in files(matrix)],
        )
        for runtime, device in places
    ]
    return _together(every)


def _together(every: list[Line]) -> list[Line]:
    """Compute capabilities of which the same is said of every file share a line."""
    found: dict[str, Line] = {}
    for line in every:
        if not line.device.startswith(_CAPABILITY):
            found[f"{line.runtime}\n{line.device}"] = line
            continue
        said = json.dumps([cell.model_dump(mode="json", exclude={"device"}) for cell in line.cells])
        known = found.get(f"{line.runtime}\n{said}")
        number = line.device.removeprefix(_CAPABILITY)
        device = f"{known.device}, {number}" if known else line.device
        found[f"{line.runtime}\n{said}"] = Line(line.runtime, device, line.cells)
    return list(found.values())


def facts(cell: Cell) -> list[str]:
    """Return what is to be said beside the outcome, as short plain phrases, the weightiest first."""
    said = [cell.reason] if cell.reason else []
    if cell.unsupported:
        said.append(f"unsupported: {', '.join(cell.unsupported)}")
    said += [
        f"{len(nodes)} {'node falls' if len(nodes) == 1 else 'nodes fall'} back to {provider}"
        for provider, nodes in cell.fallbacks.items()
    ]
    if cell.needs:
        said.append(f"needs {cell.needs}")
    if cell.error is not None:
        said.append(
            f"error {cell.error:.2g} of the largest value{f', against {cell.reference}' if cell.reference else ''}"
        )
    if cell.outcome in ("runs", "runs in part") and not cell.measured:
        said.append("not measured on this machine")
    return said or [NOTHING]


def _none(file: str, runtime: str, device: str) -> Cell:
    return Cell(file=file, runtime=runtime, device=device, outcome="not tested here", reason="no result was recorded")
