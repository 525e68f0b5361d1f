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
from compress.pipeline.sparse_export import SparseOptions
from compress.pipeline.sparse_export import write as write_sparse

if TYPE_CHECKING:
    from compress import Program
    from exporters import Artifact, EngineFailure, EngineSet
    from exporters.engines import Precision

RECORD_VERSION = 1
RECORD_SUFFIX = ".export.json"
ONNX_SUFFIX = ".onnx"
REAL_SAMPLES = 32
_FILES = (ONNX_SUFFIX, ".engine", ".pt2", ".json")


@dataclass(frozen=True)
class ExportRequest:
    """Everything that the export job needs to know. ``checkpoint`` None means the newest Program in this folder.

    It may also be an ONNX file, which is taken as it is.
    """

    checkpoint: Path | None
    loading: Loading = field(default_factory=Loading)
    sparse: SparseOptions = field(default_factory=SparseOptions)
    onnx: bool = False
    trt: bool = False
    capabilities: tuple[str, ...] = ("8.6", "8.9")
    precisions: tuple[Precision, ...] = ("fp32",)
    data: str | None = None
    output: Path | None = None
    force: bool = False

    @property
    def writes_onnx(self) -> bool:
        """Whether the dense ONNX file is wanted for itself; it is where nothing else is."""
        return self.onnx or not (self.trt or self.sparse.wanted)


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
    _check(request, destinations, reporter, given_onnx=checkpoint.suffix == ONNX_SUFFIX)
    with _dense(checkpoint, request, destinations, reporter) as (onnx_path, artifacts):
        artifacts += write_sparse(onnx_path, folder, request.sparse, reporter, force=request.force)
        engines = _engines(onnx_path, folder, request, reporter) if request.trt else None
        record = _record(checkpoint, folder, artifacts, engines)
    kept = [artifact for artifact in artifacts if artifact.path.parent == folder]
    record_paths = _write_records(record, destinations, kept, given_onnx=checkpoint.suffix == ONNX_SUFFIX)
    failures = engines.failures if engines else ()
    return ExportOutcome([*kept, *(engines.engines if engines else ())], failures, record, record_paths[0])


@contextlib.contextmanager
def _dense(
    checkpoint: Path, request: ExportRequest, destinations: Destinations, reporter: Reporter
) -> Iterator[tuple[Path, list[Artifact]]]:
    """The dense ONNX file, and the artifact where it was written here; the folder for outputs exists from then on."""
    if checkpoint.suffix == ONNX_SUFFIX:
        destinations.folder.mkdir(parents=True, exist_ok=True)
        yield checkpoint, []
        return
    program = open_program(checkpoint, request.loading, reporter)
    samples = _samples(request, program, reporter)
    destinations.folder.mkdir(parents=True, exist_ok=True)
    with _onnx_path(request, destinations) as onnx_path:
        yield onnx_path, [_onnx(program, onnx_path, samples, request, reporter)]


def _write_records(
    record: dict[str, Any], destinations: Destinations, kept: list[Artifact], *, given_onnx: bool
) -> list[Path]:
    """Write the record under the checkpoint's name, and beside each further ONNX file under that file's."""
    further = [artifact.path.with_suffix(RECORD_SUFFIX) for artifact in kept if artifact.path != destinations.onnx]
    # The record of an ONNX file that was given tells how that was made, and stays.
    paths = further if given_onnx and further else [destinations.record, *further]
    for path in paths:
        write_text(path, json.dumps(record, indent=2) + "\n")
    return paths


def _checkpoint(request: ExportRequest, reporter: Reporter) -> Path:
    if request.checkpoint is not None:
        require_file(request.checkpoint)
        return request.checkpoint
    newest = newest_program(Path())
    reporter.say(f"exporting {newest}, the newest network this tool wrote here")
    return newest


def _check(request: ExportRequest, destinations: Destinations, reporter: Reporter, *, given_onnx: bool) -> None:
    """Fail before work starts: an output exists already, the folder is a file, or TensorRT or a compiler is missing."""
    if given_onnx and (request.writes_onnx or request.data):
        raise InputError(
            "is an ONNX file already" if request.writes_onnx else "--data verifies the export of networks, not of ONNX",
            where=str(request.checkpoint),
            hint="ask for --sparse, --sparse-storage or --trt",
        )
    if destinations.folder.exists() and not destinations.folder.is_dir():
        raise InputError("is a file, a folder was expected", where=str(destinations.folder), hint="give -o DIR")
    if destinations.folder.suffix in _FILES and not destinations.folder.is_dir():
        name = f"the files in it are named after the checkpoint: {destinations.stem}"
        raise InputError(
            "names a file, a folder was expected", where=str(destinations.folder), hint=f"give -o DIR; {name}"
        )
    wanted = [destinations.onnx] if request.writes_onnx else []
    if request.trt:
        from exporters import _tensorrt

        _tensorrt.find()
        wanted += [destinations.engine(*pair) for pair in product(request.capabilities, request.precisions)]
    if destinations.folder.is_dir():
        for path in wanted:
            check_writable(path, overwrite=request.force)
    request.sparse.check(destinations.folder, destinations.stem, reporter, force=request.force)


def _samples(request: ExportRequest, program: Program, reporter: Reporter) -> Any:
    if request.data is None:
        return None
    return load_data(request.data, program, TrainingOptions(), reporter).samples(REAL_SAMPLES)


@contextlib.contextmanager
def _onnx_path(request: ExportRequest, destinations: Destinations) -> Iterator[Path]:
    """Where the ONNX goes: it is a step on the way only, when it was not asked for itself."""
    if request.writes_onnx:
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
