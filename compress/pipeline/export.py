"""The export job: ONNX and TensorRT engines out of a Program, with a record of the evidence beside them."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.errors import InputError
from compress.files import check_writable, sha256_file, write_text
from compress.pipeline.finetuning import TrainingOptions, load_data
from compress.pipeline.loading import Loading, newest_program, open_program, require_file
from compress.pipeline.reporter import Reporter

if TYPE_CHECKING:
    from compress import Program
    from exporters import Artifact, EngineFailure, EngineSet
    from exporters.engines import Precision

RECORD_VERSION = 1
RECORD_SUFFIX = ".export.json"
REAL_SAMPLES = 32


@dataclass(frozen=True)
class ExportRequest:
    """Everything that the export job needs to know. ``checkpoint`` None means the newest Program in this folder."""

    checkpoint: Path | None
    loading: Loading = field(default_factory=Loading)
    onnx: bool = False
    trt: bool = False
    capabilities: tuple[str, ...] = ("8.6", "8.9")
    precisions: tuple[Precision, ...] = ("fp32",)
    data: str | None = None
    output: Path | None = None
    force: bool = False


@dataclass(frozen=True)
class ExportOutcome:
    """What was written, the engines that could not be, and the JSON record kept beside them."""

    artifacts: list[Artifact]
    failures: tuple[EngineFailure, ...]
    record: dict[str, Any]
    record_path: Path


@dataclass(frozen=True)
class Destinations:
    """The files that an export writes, named after the checkpoint."""

    folder: Path
    stem: str

    @property
    def onnx(self) -> Path:
        """The ONNX file."""
        return self.folder / f"{self.stem}.onnx"

    @property
    def record(self) -> Path:
        """The JSON record of what was written and how it was verified."""
        return self.folder / f"{self.stem}{RECORD_SUFFIX}"

    def engine(self, capability: str, precision: str) -> Path:
        """The TensorRT engine for one compute capability and precision."""
        return self.folder / f"{self.stem}.sm{capability.replace('.', '')}.{precision}.engine"


def run(request: ExportRequest, reporter: Reporter) -> ExportOutcome:
    """Do the whole job.

    Raises:
        compress.errors.UnavailableError: TensorRT was asked for and is not installed; nothing was written.
        compress.errors.CompressError: anything else that the user can put right.
    """
    checkpoint = _checkpoint(request, reporter)
    folder = request.output or checkpoint.parent
    destinations = Destinations(folder, checkpoint.stem)
    _check(request, destinations)
    program = open_program(checkpoint, request.loading, reporter)
    samples = _samples(request, program, reporter)
    folder.mkdir(parents=True, exist_ok=True)
    artifacts: list[Artifact] = []
    with _onnx_path(request, destinations) as onnx_path:
        artifacts.append(_onnx(program, onnx_path, samples, request, reporter))
        engines = _engines(onnx_path, folder, request, reporter) if request.trt else None
        record = _record(checkpoint, folder, artifacts, engines)
    kept = [artifact for artifact in artifacts if artifact.path.parent == folder]
    write_text(destinations.record, json.dumps(record, indent=2) + "\n")
    failures = engines.failures if engines else ()
    return ExportOutcome([*kept, *(engines.engines if engines else ())], failures, record, destinations.record)


def _checkpoint(request: ExportRequest, reporter: Reporter) -> Path:
    if request.checkpoint is not None:
        require_file(request.checkpoint)
        return request.checkpoint
    newest = newest_program(Path())
    reporter.say(f"exporting {newest}, the newest network this tool wrote here")
    return newest


def _check(request: ExportRequest, destinations: Destinations) -> None:
    """Fail before work starts: an output exists already, the folder is a file, or TensorRT is missing."""
    if destinations.folder.exists() and not destinations.folder.is_dir():
        raise InputError("is a file, a folder was expected", where=str(destinations.folder), hint="give -o DIR")
    wanted = [] if request.trt and not request.onnx else [destinations.onnx]
    if request.trt:
        from exporters import _tensorrt

        _tensorrt.find()
        wanted += [destinations.engine(*pair) for pair in product(request.capabilities, request.precisions)]
    if destinations.folder.is_dir():
        for path in wanted:
            check_writable(path, overwrite=request.force)


def _samples(request: ExportRequest, program: Program, reporter: Reporter) -> Any:
    if request.data is None:
        return None
    return load_data(request.data, program, TrainingOptions(), reporter).samples(REAL_SAMPLES)


@contextlib.contextmanager
def _onnx_path(request: ExportRequest, destinations: Destinations) -> Iterator[Path]:
    """Where the ONNX goes: it is a step on the way only, when nothing but engines was asked for."""
    if request.onnx or not request.trt:
        yield destinations.onnx
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / destinations.onnx.name


def _onnx(program: Program, path: Path, samples: Any, request: ExportRequest, reporter: Reporter) -> Artifact:
    import exporters

    with reporter.step("writing and verifying ONNX"):
        return exporters.to_onnx(program, path, samples=samples, overwrite=request.force)


def _engines(onnx: Path, folder: Path, request: ExportRequest, reporter: Reporter) -> EngineSet:
    import exporters

    with reporter.step(f"compiling {len(request.capabilities) * len(request.precisions)} TensorRT engines"):
        return exporters.build_engines(
            onnx,
            folder,
            compute_capabilities=request.capabilities,
            precisions=request.precisions,
            overwrite=request.force,
        )


def _record(checkpoint: Path, folder: Path, artifacts: list[Artifact], engines: EngineSet | None) -> dict[str, Any]:
    """The JSON kept beside the files, so that a report can be made from them alone later."""
    return {
        "version": RECORD_VERSION,
        "source": {"file": os.path.relpath(checkpoint.resolve(), folder.resolve()), "sha256": sha256_file(checkpoint)},
        "artifacts": [artifact.to_dict() for artifact in artifacts],
        **(engines.to_dict() if engines else {"engines": [], "failures": []}),
    }
