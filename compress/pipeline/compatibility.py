"""The compatibility job: which file runs in which runtime, and for which GPUs it compiles, optionally as a report."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from compress.files import check_writable
from compress.pipeline.profile import Gauge

if TYPE_CHECKING:
    from deploy.compatibility import Cell, Matrix
    from deploy.report import Report

CAPABILITY = "sm "
CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")


@dataclass(frozen=True)
class CompatibilityRequest:
    """Everything that the compatibility job needs to know; all runtimes where none is named."""

    files: tuple[Path, ...]
    runtimes: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    devices_file: Path | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)
    threads: int = 1
    timeout: float = 300.0
    seed: int = 0
    outputs: tuple[Path, ...] = ()
    force: bool = False


def run(request: CompatibilityRequest, gauge: Gauge) -> Matrix:
    """Establish it and write the reports asked for. Raises :class:`compress.errors.CompressError`."""
    from compress.pipeline.ahead_of_time import compile_file
    from deploy.compatibility import Trials, check
    from deploy.devices import inventory

    for path in request.outputs:
        check_writable(path, overwrite=request.force)
    trials = Trials(threads=request.threads, sizes=request.sizes, seed=request.seed, timeout=request.timeout)
    targets = inventory.targets(request.devices, request.devices_file)
    with gauge.bar("trying") as progress:
        matrix = check(
            request.files,
            runtimes=request.runtimes,
            capabilities=request.capabilities,
            compiler=compile_file if request.capabilities else None,
            devices=[target.device for target in targets],
            trials=trials,
            progress=progress,
        )
    if request.outputs:
        from compress.pipeline.report import write

        write(_report(matrix), request.outputs, overwrite=request.force)
    return matrix


def _report(matrix: Matrix) -> Report:
    from deploy import environment
    from deploy.report import Report

    names = dict.fromkeys(cell.file for cell in matrix.cells)
    return Report(
        title=f"Compatibility of {', '.join(names)}",
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        matrix=matrix,
        environment=environment.capture(),
        missing={
            "source": "compress compatibility tries files; compress report also tells how they were made",
            "profiles": "nothing was measured; compress profile does that",
        },
    )


def rows(matrix: Matrix) -> tuple[list[str], list[list[str]]]:
    """Return the matrix as columns and rows: a column for each file, a row for each runtime and device.

    Compute capabilities for which the same is said of every file share a row.
    """
    files = list(dict.fromkeys(cell.file for cell in matrix.cells))
    cells = {(cell.runtime, cell.device, cell.file): cell for cell in matrix.cells}
    grouped: dict[tuple[str, ...], list[str]] = {}
    for runtime, device in dict.fromkeys((cell.runtime, cell.device) for cell in matrix.cells):
        kind = CAPABILITY if device.startswith(CAPABILITY) else device
        row = (runtime, kind, *(short(cells[runtime, device, file]) for file in files))
        grouped.setdefault(row, []).append(device.removeprefix(CAPABILITY))
    body = [
        [row[0], f"{CAPABILITY}{', '.join(devices)}" if row[1] == CAPABILITY else row[1], *row[2:]]
        for row, devices in grouped.items()
    ]
    return ["runtime", "device", *files], body


def short(cell: Cell) -> str:
    """Return a cell in a few words."""
    if cell.needs:
        return f"{cell.outcome}: needs {cell.needs}"
    if cell.unsupported:
        more = f" and {len(cell.unsupported) - 2} more" if len(cell.unsupported) > 2 else ""
        return f"{cell.outcome}: lacks {', '.join(cell.unsupported[:2])}{more}"
    return cell.outcome if cell.error is None else f"{cell.outcome}, error {cell.error:.1e}"


def reasons(matrix: Matrix) -> list[str]:
    """Return a line for everything that is not simply so: what is the same for several cells is said once."""
    places: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in matrix.cells:
        if cell.reason is None or cell.outcome == "compiles":
            continue
        # A runtime that is not here is so for every file.
        file = "" if cell.outcome == "not tested here" else cell.file
        places.setdefault((file, cell.runtime, _explained(cell)), []).append(cell)
    lines = []
    for (file, runtime, text), cells in places.items():
        devices = list(dict.fromkeys(cell.device for cell in cells)) if cells[0].device.startswith(CAPABILITY) else []
        where = f"{file} in {runtime}" if file else runtime
        for_these = f" ({', '.join(devices)})" if devices else ""
        lines.append(f"{where}{for_these}: {text}")
    if any(cell.outcome == "compiles" for cell in matrix.cells):
        lines.append(
            "what compiles was compiled ahead of time and not executed: nothing is known of its numbers or speed"
        )
    return lines


def _explained(cell: Cell) -> str:
    lacks = f"; it lacks {', '.join(cell.unsupported)}" if cell.unsupported else ""
    verb = "runs" if cell.measured else "compiles"
    needs = f"; a copy with {cell.needs} {verb}" if cell.needs else ""
    return f"{cell.outcome}: {cell.reason}{lacks}{needs}"
