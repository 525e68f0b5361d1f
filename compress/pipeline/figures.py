"""The figures of a report: before and after, from networks, files and measurements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from compress.pipeline.evidence import Evidence
from compress.pipeline.finetuning import Metrics

if TYPE_CHECKING:
    from compress import Program
    from deploy import Profile
    from deploy.report import FigureRow

NOT_RECORDED = "no network file is known for this ONNX file (give --programs)"
SHARES = ("top1", "top5")


def figures(
    before: Evidence,
    after: Evidence,
    accuracies: Sequence[Metrics | None],
    profiles: tuple[Profile | None, Profile | None],
) -> list[FigureRow]:
    """Return MACs, parameters, file size, accuracy and latency before and after."""
    sizes = [
        profile.file.size if profile else evidence.onnx.stat().st_size
        for evidence, profile in zip((before, after), profiles, strict=True)
    ]
    return [
        *_count_rows(before.program, after.program),
        size_row(*sizes),
        *_accuracy_rows(*accuracies),
        *latency_rows(*profiles),
    ]


def _count_rows(before: Program | None, after: Program | None) -> list[FigureRow]:
    from deploy.report import FigureRow

    counts = [program.count() if program else None for program in (before, after)]
    missing = None if all(counts) else NOT_RECORDED
    sliced, removed = "batch 1, after slicing", "batch 1, zeros counted as removed: no measure of time"
    rows = [("MACs", "macs", sliced), ("parameters", "params", sliced)]
    if after is not None and after.masks:
        rows += [("MACs counting zeros", "nonzero_macs", removed), ("parameters not zero", "nonzero_params", removed)]
    return [
        FigureRow(
            name=name,
            unit="count",
            before=getattr(counts[0], attribute, None),
            after=getattr(counts[1], attribute, None),
            conditions=conditions,
            missing=missing,
        )
        for name, attribute, conditions in rows
    ]


def _accuracy_rows(before: Metrics | None, after: Metrics | None) -> list[FigureRow]:
    from deploy.report import FigureRow

    if before is None or after is None:
        missing = "accuracy unknown: no data given"
        return [FigureRow(name="accuracy", unit="share", better="higher", missing=missing)]
    numbers = [
        name for name, value in after.items() if isinstance(value, float) and isinstance(before.get(name), float)
    ]
    conditions = f"on {after['data']}" if "data" in after else None
    return [
        FigureRow(
            name=f"accuracy ({name})" if name in SHARES else name,
            unit="share" if name in SHARES else "",
            before=before[name],
            after=after[name],
            better="lower" if name == "loss" else "higher",
            conditions=conditions,
        )
        for name in numbers
    ]


def size_row(before: int, after: int) -> FigureRow:
    """Return the row of the files' sizes in bytes."""
    from deploy.report import FigureRow

    return FigureRow(name="file size", unit="bytes", before=before, after=after)


def latency_rows(before: Profile | None, after: Profile | None) -> list[FigureRow]:
    """Return the rows of two measurements; of one that is missing, or of two that differ in conditions, they say so."""
    from deploy import report

    return report.latency_rows(before, after)
