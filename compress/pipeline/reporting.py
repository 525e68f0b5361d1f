"""Put together what the packages know separately: programs, export records and measurements become one report."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from compress import operators
from compress.errors import CompressError, InputError, UnavailableError
from compress.files import check_writable
from compress.pipeline.evidence import Evidence, gather
from compress.pipeline.figures import NOT_RECORDED, figures
from compress.pipeline.finetuning import Metrics, TrainingOptions
from compress.pipeline.loading import require_file
from compress.pipeline.onnx_data import measure_onnx
from compress.pipeline.parts import add_parts
from compress.pipeline.points import points
from compress.pipeline.report import Screen, now, write

if TYPE_CHECKING:
    from compress import Program
    from deploy import Profile
    from deploy.records import Failure
    from deploy.report import LayerRow, Report, Verification


Part = Literal["why", "compatibility"]


@dataclass(frozen=True)
class ReportRequest:
    """Everything that the report job needs to know. ``programs`` overrides what the export records name.

    The first candidate is put beside the baseline layer by layer and in pairs; all are points of the accuracy chart.
    ``parts`` are what takes long and is not always wanted.
    """

    baseline: Path
    candidates: tuple[Path, ...]
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
    parts: tuple[Part, ...] = ()
    outputs: tuple[Path, ...] = ()
    force: bool = False

    @property
    def files(self) -> tuple[Path, ...]:
        """The baseline and all candidates."""
        return (self.baseline, *self.candidates)

    @property
    def destinations(self) -> tuple[Path, ...]:
        """The files to write."""
        folder = self.candidates[0].parent
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
    _check(request)
    for path in request.destinations:
        check_writable(path, overwrite=request.force)
    networks = [*(request.programs or ()), *([None] * len(request.files))]
    evidences = [gather(path, network, screen) for path, network in zip(request.files, networks, strict=False)]
    accuracies = [_accuracy(request, evidence, screen) for evidence in evidences]
    before, after = evidences[:2]
    report = _describe(request, before, after)
    _measure(report, request, screen)
    pair = _of(report.profiles, before), _of(report.profiles, after)
    report.figures = figures(before, after, accuracies[:2], pair)
    report.points = points(evidences, accuracies, report.profiles, report.failures)
    add_parts(report, request, screen)
    write(report, request.destinations, overwrite=request.force)
    return report


def _check(request: ReportRequest) -> None:
    """Refuse what cannot be reported on before networks and data are loaded."""
    for path in (*request.files, *(request.programs or ())):
        require_file(path)
    names = [path.name for path in request.files]
    for path in request.files[1:]:
        if names.count(path.name) > 1 and os.path.abspath(path) != os.path.abspath(request.baseline):
            raise InputError(
                "another file has the same name", where=str(path), hint="rename one: a report goes by names"
            )
    for path in request.files:
        operators.library_beside(path)


def _describe(request: ReportRequest, before: Evidence, after: Evidence) -> Report:
    from deploy.report import Report, StepRow

    info = after.program.info if after.program else None
    layers = info.metrics.get("pruning", {}).get("layers", []) if info else []
    criterion = ((info.plan or {}).get("settings") or {}).get("criterion", "the plan") if info else None
    report = Report(
        title=request.title or _title(request),
        created=now(),
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


def _title(request: ReportRequest) -> str:
    more = len(request.candidates) - 1
    others = f" and {more} more {'file' if more == 1 else 'files'}" if more else ""
    return f"{request.candidates[0].name}{others} against {request.baseline.name}"


def _measure(report: Report, request: ReportRequest, screen: Screen) -> None:
    """Measure all files, whatever one of them does; the first two also in pairs.

    Raises:
        InputError, UnavailableError: no file could be measured at all.
    """
    import deploy

    files = list({os.path.abspath(path): path for path in request.files}.values())
    with screen.bar(f"measuring {len(files)} files") as progress:
        measured = deploy.measure(
            files,
            runtimes=[request.runtime],
            threads=[request.threads],
            batches=[request.batch],
            sizes=request.sizes,
            seconds=request.seconds,
            seed=request.seed,
            operators=True,
            progress=progress,
        )
    if not measured.profiles:
        raise _error(measured.failures[0])
    report.profiles, report.failures = measured.profiles, measured.failures
    report.environment = report.profiles[0].environment
    failed = {failure.file for failure in measured.failures}
    pair = request.baseline, request.candidates[0]
    broken = [path.name for path in pair if path.name in failed]
    if broken:
        reason = f"{' and '.join(dict.fromkeys(broken))} could not be measured"
        report.missing |= {"comparison": reason, "gate": reason}
        return
    with screen.bar("comparing them in pairs") as progress:
        report.comparison = deploy.compare(*pair, progress=progress, **request.conditions())
    with screen.bar("gate") as progress:
        report.gate = deploy.gate(
            *pair,
            max_regression=request.max_regression,
            budget=request.budget,
            progress=progress,
            **request.conditions(),
        )


def _of(profiles: Sequence[Profile], evidence: Evidence) -> Profile | None:
    return next((profile for profile in profiles if profile.file.name == evidence.onnx.name), None)


def _error(failure: Failure) -> CompressError:
    kind = UnavailableError if failure.kind == "unavailable" else InputError
    where = None if failure.kind == "unavailable" else failure.file
    return kind(failure.reason, where=where, hint=failure.hint)


def _accuracy(request: ReportRequest, evidence: Evidence, screen: Screen) -> Metrics | None:
    """Measured on the deployment file where data is given, else what the network's file recorded."""
    if request.data is None:
        return evidence.recorded_accuracy()
    return measure_onnx(evidence.onnx, request.data, TrainingOptions(), screen) | {"data": request.data}
