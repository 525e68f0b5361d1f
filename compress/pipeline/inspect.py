"""The inspect job: what a checkpoint, a network, an ONNX file or a plan holds."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.errors import InputError
from compress.files import check_writable, write_text
from compress.pipeline.loading import Loading, open_program, require_file
from compress.pipeline.reporter import Reporter
from compress.pipeline.tables import amount, metric, out_of_reach, percent, size, zero_cells

if TYPE_CHECKING:
    from compress import Count, Program
    from compress.explanation import Explanation
    from compress.sparsity.report import SparseLayer


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


@dataclass(frozen=True)
class InspectRequest:
    """What to look into and how. ``ignore`` are layer patterns to be treated as ``--ignore`` of pruning does;
    ``outputs`` are files to write, ``.html`` or ``.json``.
    """

    file: Path
    loading: Loading = field(default_factory=Loading)
    verify: bool = False
    ignore: tuple[str, ...] = ()
    outputs: tuple[Path, ...] = ()
    force: bool = False

    def check(self) -> None:
        """Fail before any work starts where the request cannot succeed.

        Raises:
            InputError: the message names the option or the file.
        """
        require_file(self.file)
        for path in self.outputs:
            check_writable(path, overwrite=self.force)
        asked = {"--verify": self.verify, "--ignore": self.ignore, "a page": _pages(self.outputs)}
        option = next((name for name, value in asked.items() if value), None)
        if option is not None and self.file.suffix in (".onnx", ".json"):
            raise InputError(f"{option} needs a network, not this", where=str(self.file), hint="give the checkpoint")


def run(request: InspectRequest, reporter: Reporter) -> Sheet:
    """Return what is in the file, having written it where that was asked for.

    Raises:
        compress.errors.CompressError: the file cannot be read, or something was asked that only a network has.
    """
    request.check()
    sheet = _sheet(request, reporter)
    for path in request.outputs:
        if path.suffix == ".json":
            write_text(path, json.dumps(sheet.data, indent=2, default=str) + "\n", overwrite=request.force)
    return sheet


def _pages(outputs: Sequence[Path]) -> list[Path]:
    return [path for path in outputs if path.suffix == ".html"]


def _sheet(request: InspectRequest, reporter: Reporter) -> Sheet:
    file = request.file
    if file.suffix == ".onnx":
        return _onnx(file)
    if file.suffix == ".json":
        return _plan(file)
    program = open_program(file, request.loading, reporter)
    with reporter.step("finding what can shrink"):
        explanation = _explain(program, request.ignore)
    sheet = _program(file, program, explanation)
    for path in _pages(request.outputs):
        from compress.pipeline.inspect_page import write_page

        write_page(explanation, file.name, sheet.lines, path, overwrite=request.force)
    if request.verify:
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
        InputError: an error is larger than rounding explains, that is, the analysis of this network is wrong; or its
            outputs are not finite.
    """
    from compress.axes.verify import verify

    found = verify(program, seed)
    figures = {**asdict(found), "allowed": found.allowed}
    if not math.isfinite(found.permutation_error):
        raise InputError(
            "on random weights its outputs are not finite, so nothing can be proven about it",
            hint="a root or logarithm of values that only its trained weights keep positive would do that",
        )
    if not found.passed:
        raise InputError(
            f"reordering channels changed the outputs by {found.permutation_error:.2g} of their scale and cutting "
            f"differs from masking by {found.removal_error:.2g}, where rounding allows {found.allowed:.2g}",
            hint="this is a fault of the tool: please report it with the model reference, and do not prune the network",
        )
    return figures


def _explain(program: Program, ignore: Sequence[str]) -> Explanation:
    from compress.axes.analysis import analyse
    from compress.explanation import explain

    return explain(analyse(program), ignore)


def _program(file: Path, program: Program, explained: Explanation) -> Sheet:
    info, count = program.info, program.count()
    lines = [
        ("file", f"{file} ({size(file.stat().st_size)})"),
        ("architecture", info.model_ref or "unknown (the file holds its own graph)"),
        *((f"input {spec.name}", f"{'x'.join(map(str, spec.shape))} {spec.dtype}") for spec in program.inputs),
        *((f"output {spec.name}", f"{'x'.join(map(str, spec.shape))} {spec.dtype}") for spec in program.outputs),
        ("MACs", f"{amount(count.macs)} at batch 1"),
        ("parameters", amount(count.params)),
        ("activation memory", f"{size(count.memory)} at the peak, batch 1"),
        ("reachable", f"{percent(explained.reachable)} of the MACs lie in widths that can shrink"),
        *(("out of reach", line) for line in out_of_reach(explained.obstacles, count.macs)),
    ]
    if explained.ignore:
        lines.append(("protected", f"layers named {', '.join(explained.ignore)}"))
    if info.preprocessing is not None:
        lines.append(("preprocessing", f"mean {info.preprocessing.mean}, std {info.preprocessing.std}"))
    zeros = _zeros(program, count)
    if zeros:
        masks = program.masks.values()
        share = sum(mask.zeros for mask in masks) / sum(mask.kept.numel() for mask in masks)
        lines += [
            ("sparsity", f"{percent(share)} of the weights of {len(masks)} masked layers are zero, and stay zero"),
            (
                "MACs counting zeros",
                f"{amount(count.nonzero_macs)}, {percent(count.nonzero_macs / count.macs)} (no measure of time)",
            ),
        ]
    recorded = info.metrics.get("accuracy", {})
    lines += [(f"accuracy ({stage})", metric(value)) for stage, value in recorded.items() if isinstance(value, dict)]
    steps = [(step.when, step.verb, _arguments(step.arguments)) for step in info.provenance]
    rows = [
        (
            group.name,
            group.status,
            group.width,
            group.cell,
            str(len(group.layers)),
            percent(group.macs / count.macs) if group.macs else "",
            group.reason or "",
        )
        for group in explained.groups
    ]
    return Sheet(
        {
            "kind": "network",
            "info": info.model_dump(mode="json"),
            "count": count.summary(),
            "sparsity": [asdict(layer) | {"sparsity": layer.sparsity} for layer in zeros],
            "inputs": [spec._asdict() for spec in program.inputs],
            "outputs": [spec._asdict() for spec in program.outputs],
            **explained.to_json(),
        },
        lines,
        [
            *([Table("What was done", ("when", "what", "with"), steps)] if steps else []),
            *(
                [
                    Table(
                        "Zeros",
                        ("layer", "weight", "pattern", "zeros", "MACs", "MACs counting zeros"),
                        [zero_cells(layer) for layer in zeros],
                    )
                ]
                if zeros
                else []
            ),
            Table("Widths", ("first layer", "status", "width", "cell", "layers", "share of MACs", "reason"), rows),
        ],
    )


def _zeros(program: Program, count: Count) -> tuple[SparseLayer, ...]:
    """The layers that can be masked, where any is; nothing for a dense network."""
    if not program.masks:
        return ()
    from compress.sparsity.layers import maskable_layers
    from compress.sparsity.report import sparse_layers

    return sparse_layers(program, maskable_layers(program), {}, count)


def _arguments(arguments: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in arguments.items() if value not in (None, False, [], {}, 0.0))


def _onnx(file: Path) -> Sheet:
    from exporters.onnx_file import read_onnx

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
