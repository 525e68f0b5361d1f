"""What is known about an ONNX file: the export record beside it, and the network that the record names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.errors import InputError
from compress.files import sha256_file
from compress.pipeline.export import ONNX_SUFFIX, RECORD_SUFFIX, RECORD_VERSION
from compress.pipeline.finetuning import Metrics
from compress.pipeline.loading import Loading, open_program
from compress.pipeline.reporter import Reporter

if TYPE_CHECKING:
    from compress import Program
    from deploy.report import Engine, Source, Verification

STAGES = ("finetuned", "batch_norm", "pruned", "dense")


@dataclass(frozen=True)
class Evidence:
    """An ONNX file, the record of its export (empty where there is none), and its network where it is at hand."""

    onnx: Path
    record: dict[str, Any]
    program: Program | None
    program_path: Path | None

    def source(self) -> Source:
        """Return the file that the report names: the network where it is known, else the ONNX file."""
        from deploy.report import Source

        path = self.program_path or self.onnx
        info = self.program.info if self.program else None
        return Source(
            file=path.name,
            sha256=sha256_file(path),
            size=path.stat().st_size,
            model=info.model_ref if info else None,
            kind=path.suffix.removeprefix("."),
        )

    def verification(self) -> list[Verification]:
        """Return the numerical evidence for every ONNX file of the export."""
        from deploy.report import Verification

        return [
            Verification(
                artifact=item["path"],
                sha256=item["sha256"],
                passed=item["status"] == "verified",
                figures=item["verification"],
            )
            for item in self.record.get("artifacts", [])
        ]

    def engines(self) -> list[Engine]:
        """Return the engines that were compiled, and those that could not be."""
        from deploy.report import Engine

        made = [
            Engine(
                capability=item["metadata"]["compute_capability"],
                precision=item["metadata"]["precision"],
                status=item["status"],
                file=item["path"],
                size=item["bytes"],
            )
            for item in self.record.get("engines", [])
        ]
        failed = [
            Engine(
                capability=item["compute_capability"],
                precision=item["precision"],
                status="failed",
                message=item["reason"],
            )
            for item in self.record.get("failures", [])
        ]
        return made + failed

    def recorded_accuracy(self) -> Metrics | None:
        """Return the last accuracy that the network's file recorded, or None."""
        recorded = self.program.info.metrics.get("accuracy", {}) if self.program else {}
        stage = next((stage for stage in STAGES if stage in recorded), None)
        return None if stage is None else {**recorded[stage], "data": recorded.get("data")}


def gather(onnx: Path, program_path: Path | None, reporter: Reporter) -> Evidence:
    """Read the export record beside ``onnx`` and load the network.

    Raises:
        InputError: the record is damaged, or a network given by the user cannot be loaded.
    """
    record = _read_record(onnx, reporter)
    path = program_path or _recorded_program(onnx, record, reporter)
    program = open_program(path, Loading(), reporter) if path else None
    return Evidence(onnx, record, program, path)


def _read_record(onnx: Path, reporter: Reporter) -> dict[str, Any]:
    path = onnx.with_name(onnx.stem + RECORD_SUFFIX)
    if not path.is_file():
        reporter.say(f"{onnx.name}: no export record beside it, so how it was made is unknown")
        return {}
    try:
        record = json.loads(path.read_text())
        version = record["version"]
        hashes = [item["sha256"] for item in record["artifacts"]]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError("is not an export record", where=str(path), hint="export again, or remove it") from error
    if version > RECORD_VERSION:
        raise InputError(f"was written in version {version} of the record", where=str(path), hint="upgrade this tool")
    if sha256_file(onnx) not in hashes:
        reporter.say(f"{onnx.name}: the export record beside it belongs to another file, so it is not used")
        return {}
    assert isinstance(record, dict)
    return record


def _recorded_program(onnx: Path, record: dict[str, Any], reporter: Reporter) -> Path | None:
    if not record:
        return None
    path = onnx.parent / record["source"]["file"]
    if not path.is_file():
        reporter.say(f"{onnx.name}: the network it was exported from ({path}) is not there any more")
        return None
    if sha256_file(path) != record["source"]["sha256"]:
        reporter.say(f"{onnx.name}: {path} has changed since the export, so it is not used")
        return None
    if path.suffix == ONNX_SUFFIX:
        return _recorded_program(path, _read_record(path, reporter), reporter)
    return path
