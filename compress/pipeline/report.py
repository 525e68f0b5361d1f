"""Put together what the packages know separately: programs, export records and measurements become one report."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from compress import operators
from compress.files import check_writable
from compress.pipeline.evidence import Evidence, gather
from compress.pipeline.finetuning import Metrics, TrainingOptions
from compress.pipeline.loading import require_file
from compress.pipeline.onnx_data import measure_onnx
from compress.pipeline.profile import Gauge
from compress.pipeline.reporter import Reporter

if TYPE_CHECKING:
    from compress import Program
    from deploy import Profile
    from deploy.report import FigureRow, LayerRow, Report, Verification

NOT_RECORDED = "no network file is known for this ONNX file (give --programs)"
SHARES = ("top1", "top5")


class Screen(Reporter, Gauge, Protocol):
    """What a report needs of its caller: messages, steps and bars."""


@dataclass(frozen=True)
class ReportRequest:
    """Everything that the report job needs to know. ``programs`` overrides what the export records name."""

    baseline: Path
    candidate: Path
    programs: tuple[Path, Path] | None = None
    data: str | None = None
    title: str | None = None
    max_regression: float = 0.05
    runtime: str = "onnxruntime-cpu"
    seconds: float = 3.0
    budget: float = 60.0
    threads: int = 1
    batch: int = 1
    sizes: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    outputs: tuple[Path, ...] = ()
    force: bool = False

    @property
    def destinations(self) -> tuple[Path, ...]:
        """The files to write."""
        folder = self.candidate.parent
        return self.outputs or (folder / "report.html", folder / "report.json")

    def conditions(self) -> dict[str, Any]:
        """Return the options that every measurement takes."""
        return {
            "runtime": self.runtime,
            "threads": self.threads,
            "batch": self.batch,
            "sizes": self.sizes,
            "seed": self.seed,
        }


def run(request: ReportRequest, screen: Screen) -> Report:
    """Gather, measure, decide and write. Raises :class:`compress.errors.CompressError` before anything is written."""
    for path in (request.baseline, request.candidate, *(request.programs or ())):
        require_file(path)
    for path in (request.baseline, request.candidate):
        operators.library_beside(path)  # before networks and data are loaded
    for path in request.destinations:
        check_writable(path, overwrite=request.force)
    before = gather(request.baseline, request.programs[0] if request.programs else None, screen)
    after = gather(request.candidate, request.programs[1] if request.programs else None, screen)
    accuracies = [_accuracy(request, evidence, screen) for evidence in (before, after)]
    report = _describe(request, before, after)
    _measure(report, request, screen)
    report.figures = figures(before, after, accuracies, report.profiles)
    write(report, request.destinations, overwrite=request.force)
    return report


def write(report: Report, paths: Sequence[Path], *, overwrite: bool) -> None:
    """Write ``report`` to every path; the ending decides the form."""
    from deploy import report as reports

    for path in paths:
        reports.write(report, path, overwrite=overwrite)


def from_profiles(profiles: Sequence[Profile]) -> Report:
    """Return a report of measurements alone; two files in one runtime are also put side by side."""
    from deploy.report import Report

    pair = list(profiles) if len(profiles) == 2 else []
    names = dict.fromkeys(profile.file.name for profile in profiles)
    return Report(
        title=f"Profile of {', '.join(names)}",
        created=_now(),
        profiles=list(profiles),
        figures=[_size_row(*pair), *_latency_rows(*pair)] if pair else [],
        environment=profiles[0].environment,
        missing={
            "source": "compress profile measures files; compress report also tells how they were made",
            "comparison": "not measured in pairs; compress gate and compress report do that",
        },
    )


def figures(
    before: Evidence, after: Evidence, accuracies: Sequence[Metrics | None], profiles: Sequence[Profile]
) -> list[FigureRow]:
    """Return MACs, parameters, file size, accuracy and latency before and after."""
    return [
        *_count_rows(before.program, after.program),
        _size_row(profiles[0], profiles[1]),
        *_accuracy_rows(*accuracies),
        *_latency_rows(profiles[0], profiles[1]),
    ]


def _describe(request: ReportRequest, before: Evidence, after: Evidence) -> Report:
    from deploy.report import Report, StepRow

    info = after.program.info if after.program else None
    layers = info.metrics.get("pruning", {}).get("layers", []) if info else []
    criterion = ((info.plan or {}).get("settings") or {}).get("criterion", "the plan") if info else None
    report = Report(
        title=request.title or f"{request.candidate.name} against {request.baseline.name}",
        created=_now(),
        source=before.source(),
        result=after.source(),
        steps=[StepRow.model_validate(step.model_dump()) for step in info.provenance] if info else [],
        layers=[_layer_row(row, f"ranked lowest by {criterion}") for row in layers],
        verification=_once([*before.verification(), *after.verification()]),
        engines=[*before.engines(), *after.engines()],
    )
    if not report.steps:
        report.missing["steps"] = NOT_RECORDED
    if not report.layers:
        report.missing["layers"] = _no_layers(after.program)
    if not report.verification:
        report.missing["verification"] = "no export record beside the ONNX files"
    if not report.engines:
        report.missing["engines"] = "no TensorRT engine was exported with these files (compress export --trt)"
    return report


def _no_layers(program: Program | None) -> str:
    if program is None:
        return NOT_RECORDED
    if program.masks:
        return "no width was cut: weights were set to zero alone (compress inspect says where)"
    return "the network was not pruned by this tool"


def _once(found: Sequence[Verification]) -> list[Verification]:
    """Both records have the evidence for what the files have in common."""
    return list({(item.artifact, item.sha256): item for item in found}.values())


def _layer_row(row: Mapping[str, Any], why_cut: str) -> LayerRow:
    from deploy.report import LayerRow

    layer = LayerRow.model_validate(row)
    if layer.status == "pruned" and layer.reason is None and layer.width_before and layer.width_after:
        layer.reason = f"{layer.width_before - layer.width_after} channels {why_cut}"
    return layer


def _measure(report: Report, request: ReportRequest, screen: Screen) -> None:
    import deploy

    files = request.baseline, request.candidate
    with screen.bar("measuring both files") as progress:
        report.profiles = deploy.profile(files, seconds=request.seconds, progress=progress, **request.conditions())
    with screen.bar("comparing them in pairs") as progress:
        report.comparison = deploy.compare(*files, progress=progress, **request.conditions())
    with screen.bar("gate") as progress:
        report.gate = deploy.gate(
            *files,
            max_regression=request.max_regression,
            budget=request.budget,
            progress=progress,
            **request.conditions(),
        )
    report.environment = report.profiles[0].environment


def _accuracy(request: ReportRequest, evidence: Evidence, screen: Screen) -> Metrics | None:
    """Measured on the deployment file where data is given, else what the network's file recorded."""
    if request.data is None:
        return evidence.recorded_accuracy()
    return measure_onnx(evidence.onnx, request.data, TrainingOptions(), screen) | {"data": request.data}


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


def _size_row(before: Profile, after: Profile) -> FigureRow:
    from deploy.report import FigureRow

    return FigureRow(name="file size", unit="bytes", before=before.file.size, after=after.file.size)


def _latency_rows(before: Profile, after: Profile) -> list[FigureRow]:
    from deploy.report import latency_rows

    return latency_rows(before, after)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
