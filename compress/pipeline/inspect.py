"""The inspect job: what a checkpoint, a network, an ONNX file or a plan holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.errors import InputError
from compress.pipeline.loading import Loading, open_program, require_file
from compress.pipeline.reporter import Reporter
from compress.pipeline.tables import amount, metric, percent, size

if TYPE_CHECKING:
    from compress import Program


@dataclass(frozen=True)
class Table:
    """A table of a :class:`Sheet`."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True)
class Sheet:
    """What was found: named lines and tables for people, ``data`` for machines."""

    data: dict[str, Any]
    lines: list[tuple[str, str]]
    tables: list[Table] = field(default_factory=list)


def run(file: Path, loading: Loading, reporter: Reporter, *, verify: bool = False) -> Sheet:
    """Return what is in ``file``.

    Raises:
        compress.errors.CompressError: it cannot be read, or ``verify`` was asked for something without channels.
    """
    require_file(file)
    if file.suffix in (".onnx", ".json") and verify:
        raise InputError("--verify needs a network, not this", where=str(file), hint="give the checkpoint")
    if file.suffix == ".onnx":
        return _onnx(file)
    if file.suffix == ".json":
        return _plan(file)
    program = open_program(file, loading, reporter)
    sheet = _program(file, program)
    if verify:
        with reporter.step("permuting and removing channels in float64"):
            sheet.data["verification"] = verification(program)
        found = sheet.data["verification"]
        sheet.lines.append(
            (
                "verified",
                f"everything randomised, float64: reordering {percent(found['moved'])} of the parameters changes the "
                f"outputs by {found['permutation_error']:.1e} of their scale, cutting differs from masking by "
                f"{found['removal_error']:.1e}",
            )
        )
    return sheet


def verification(program: Program, seed: int = 0) -> dict[str, Any]:
    """Prove on random weights in float64 that the network's widths are understood; see :mod:`compress.axes.verify`.

    Returns:
        ``permutation_error`` and ``removal_error`` (relative to the largest output), ``moved`` (share of parameters),
        ``allowed`` (what rounding explains).

    Raises:
        InputError: an error is larger than rounding explains, that is, the analysis of this network is wrong.
    """
    from compress.axes.verify import verify

    found = verify(program, seed)
    figures = {**asdict(found), "allowed": found.allowed}
    if not found.passed:
        raise InputError(
            f"reordering channels changed the outputs by {found.permutation_error:.2g} of their scale and cutting "
            f"differs from masking by {found.removal_error:.2g}, where rounding allows {found.allowed:.2g}",
            hint="this is a fault of the tool: please report it with the model reference, and do not prune the network",
        )
    return figures


def _program(file: Path, program: Program) -> Sheet:
    from compress.axes.analysis import analyse
    from compress.prune_report import reachable_macs

    analysis = analyse(program)
    info, count, groups = program.info, program.count(), analysis.groups
    reachable = reachable_macs(analysis)
    lines = [
        ("file", f"{file} ({size(file.stat().st_size)})"),
        ("architecture", info.model_ref or "unknown (the file holds its own graph)"),
        *((f"input {spec.name}", f"{'x'.join(map(str, spec.shape))} {spec.dtype}") for spec in program.inputs),
        *((f"output {spec.name}", f"{'x'.join(map(str, spec.shape))} {spec.dtype}") for spec in program.outputs),
        ("MACs", f"{amount(count.macs)} at batch 1"),
        ("parameters", amount(count.params)),
        ("activation memory", f"{size(count.memory)} at the peak, batch 1"),
        ("reachable", f"{percent(reachable)} of the MACs lie in widths that can shrink"),
        *((f"no rule at {node}", reason) for node, reason in analysis.unknown.items()),
    ]
    if info.preprocessing is not None:
        lines.append(("preprocessing", f"mean {info.preprocessing.mean}, std {info.preprocessing.std}"))
    recorded = info.metrics.get("accuracy", {})
    lines += [(f"accuracy ({stage})", metric(value)) for stage, value in recorded.items() if isinstance(value, dict)]
    steps = [(step.when, step.verb, _arguments(step.arguments)) for step in info.provenance]
    rows = [(group.name, group.kind, group.width, group.cell, group.reason or "") for group in groups]
    return Sheet(
        {
            "kind": "network",
            "info": info.model_dump(mode="json"),
            "count": count.summary(),
            "reachable_macs": reachable,
            "unknown_operators": analysis.unknown,
            "inputs": [spec._asdict() for spec in program.inputs],
            "outputs": [spec._asdict() for spec in program.outputs],
            "groups": [
                {
                    "name": group.name,
                    "kind": group.kind,
                    "width": group.width,
                    "cell": group.cell,
                    "reason": group.reason,
                }
                for group in groups
            ],
        },
        lines,
        [
            Table("What was done", ("when", "what", "with"), steps),
            Table("Widths", ("first layer", "kind", "channels", "cell", "reason"), rows),
        ],
    )


def _arguments(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in arguments.items() if value not in (None, False, [], {}, 0.0))


def _onnx(file: Path) -> Sheet:
    from exporters.fp16 import read_onnx

    model = read_onnx(file)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    operators = Counter(node.op_type for node in model.graph.node)
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), None)
    values = {
        kind: {
            value.name: [size.dim_value or size.dim_param for size in value.type.tensor_type.shape.dim]
            for value in part
        }
        for kind, part in (("input", model.graph.input), ("output", model.graph.output))
    }
    lines = [
        ("file", f"{file} ({size(file.stat().st_size)})"),
        ("opset", str(opset)),
        *((f"{kind} {name}", str(shape)) for kind, part in values.items() for name, shape in part.items()),
        *metadata.items(),
    ]
    return Sheet(
        {"kind": "onnx", "opset": opset, "metadata": metadata, "operators": dict(operators), **values},
        lines,
        [Table("Operators", ("operator", "count"), operators.most_common())],
    )


def _plan(file: Path) -> Sheet:
    import compress

    plan = compress.Plan.load(file)
    rows = [(name, kept.width, len(kept.keep), ", ".join(kept.layers)) for name, kept in plan.groups.items()]
    return Sheet(
        {"kind": "plan", "plan": plan.to_json(), "sha256": plan.sha256()},
        [
            ("file", str(file)),
            ("groups", str(len(rows))),
            *((f"made with {name}", str(value)) for name, value in plan.settings.items()),
        ],
        [Table("Kept", ("group", "width", "kept", "layers"), rows)],
    )
