"""The two file forms of a Program: ``.pt2`` (self-contained graph) and ``.safetensors`` (weights, plans, model
reference).
"""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from compress.capturing import from_exported
from compress.checkpoints import sanitise_pt2
from compress.errors import CheckpointError, InputError
from compress.files import atomic_path, check_writable
from compress.graph_json import graph_from_json, graph_to_json
from compress.info import VERSION, ProgramInfo
from compress.masks import Mask
from compress.program import Program, TensorSpec

FORMAT = "compress-program"
_META = ("layer", "source")


def save(program: Program, path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Write ``program`` to ``path`` atomically; see :meth:`compress.Program.save`."""
    target = Path(path)
    if target.suffix not in (".pt2", ".safetensors"):
        raise InputError(
            f"cannot save as {target.suffix or 'a file without ending'!r}",
            where=str(target),
            hint="use .pt2 or .safetensors",
        )
    check_writable(target, overwrite=overwrite)
    if target.suffix == ".pt2":
        _save_pt2(program, target, overwrite=overwrite)
    else:
        _save_durable(program, target, overwrite=overwrite)


def load_pt2(path: Path) -> Program:
    """Read a ``.pt2`` through the hardened loader: one that this tool wrote whole, a foreign one as far as it goes.

    Raises:
        CheckpointError: damaged, unsafe, or written by a newer version.
        CaptureError: a foreign archive that cannot be used (see :func:`compress.capturing.from_exported`).
    """
    extra = {"compress.json": ""}
    exported = _load_exported(sanitise_pt2(path), extra, path)
    program = from_exported(exported, where=str(path))
    return _complete(program, _parse(extra["compress.json"], path), path) if extra["compress.json"] else program


@dataclass(frozen=True)
class DurableHeader:
    """What stands beside the weights of a ``.safetensors`` that this tool wrote: how to make the network again."""

    info: ProgramInfo
    model_ref: str
    input_size: tuple[int, ...] | None
    dynamic_size: bool


def read_durable_header(path: Path) -> DurableHeader:
    """Read the JSON beside the weights. Raises :class:`CheckpointError` where it is damaged or newer."""
    document = _read_document(path)
    info = _info(document, path)
    try:
        shapes = [tuple(int(size) for size in shape[1:]) for _, shape, _ in document["inputs"]]
        dynamic_size = bool(document["dynamic_size"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"its compress.json is damaged ({error})", where=str(path)) from error
    if info.model_ref is None:
        raise CheckpointError("its compress.json is damaged (it names no model)", where=str(path))
    whole = info.submodule is None and len(shapes) == 1  # else the inputs are not what the reference is made with
    given = tuple(info.input_size) if info.input_size is not None else None
    return DurableHeader(info, info.model_ref, shapes[0] if whole else given, dynamic_size)


def _read_document(path: Path) -> dict[str, Any]:
    with safe_open(str(path), framework="pt") as stream:
        return _parse((stream.metadata() or {}).get("compress.json", ""), path)


def load_durable(path: Path, base: Program) -> Program:
    """Replay the stored plans on ``base`` (the network made anew from its reference) and take the stored weights.

    Raises:
        CheckpointError: the weights do not fit what the plans make of ``base``.
        PlanError: a stored plan does not fit.
    """
    from compress.plan import Plan
    from compress.pruning import apply_plan

    info = read_durable_header(path).info
    program = base
    for plan in info.plans:
        program = apply_plan(program, Plan.from_json(plan, where=str(path)))
    weights = load_file(str(path))
    tensors = {**program.tensors, **{name: weights[name] for name in weights}}
    wrong = [
        name
        for name, tensor in program.tensors.items()
        if name not in program.tied and _differs(tensor, weights.get(name))
    ]
    extra = sorted(set(weights) - set(program.tensors))
    if wrong or extra:
        raise CheckpointError(
            f"{len(wrong) + len(extra)} tensors do not fit what the plans make, first {min(wrong + extra)}",
            where=str(path),
            hint="the model's definition changed since the file was written; use the .pt2 form",
        )
    rebuilt = program.rebuilt(tensors, program.graphs, masks={})
    rebuilt.info = info
    _put_masks(rebuilt, _read_document(path), path)
    return rebuilt


def _differs(wanted: torch.Tensor, found: torch.Tensor | None) -> bool:
    return found is None or found.shape != wanted.shape or found.dtype != wanted.dtype


def _save_pt2(program: Program, path: Path, *, overwrite: bool) -> None:
    exported = program.export_program()
    exported._example_inputs = None  # they would carry the user's data
    for node in exported.graph.nodes:
        for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn", "custom"):
            node.meta.pop(key, None)
    with atomic_path(path, overwrite=overwrite) as temporary:
        buffer = io.BytesIO()
        torch.export.save(exported, buffer, extra_files={"compress.json": json.dumps(_document(program))})
        temporary.write_bytes(buffer.getbuffer())


def _save_durable(program: Program, path: Path, *, overwrite: bool) -> None:
    if program.info.model_ref is None:
        raise InputError(
            "a .safetensors file needs a model reference to be made again from, and this network has none",
            where=str(path),
            hint="load it with --model REF, or save as .pt2",
        )
    program.apply_masks()
    tensors = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in program.tensors.items()
        if name not in program.tied
    }
    document = {key: value for key, value in _document(program).items() if key not in ("training", "nodes")}
    with atomic_path(path, overwrite=overwrite) as temporary:
        save_file(tensors, str(temporary), metadata={"compress.json": json.dumps(document), "format": "pt"})


def _document(program: Program) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "info": program.info.model_dump(mode="json"),
        "training": graph_to_json(program.graphs[True]),
        "nodes": {
            node.name: {key: node.meta[key] for key in _META if node.meta.get(key)}
            for node in program.graphs[False].nodes
            if node.op == "call_function"
        },
        "parameters": program.requires_grad,
        "transient": sorted(program.transient),
        "tied": program.tied,
        "inputs": [list(spec) for spec in program.inputs],
        "outputs": list(program.output_names),
        "dynamic_size": program.dynamic_size,
        "masks": {name: mask.to_json() for name, mask in program.masks.items()},
    }


def _put_masks(program: Program, document: dict[str, Any], path: Path) -> None:
    """Give ``program`` the masks that the file holds, if any. Raises :class:`CheckpointError` where they do not fit.

    Nothing is set to zero here: weights that a mask leaves out and that are not zero were changed by somebody else.
    """
    tensors = program.tensors
    found = {}
    for name, entry in document.get("masks", {}).items():
        try:
            found[name] = Mask.from_json(entry, tuple(tensors[name].shape))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"its compress.json is damaged (mask of {name}: {error})", where=str(path)) from error
        if bool(tensors[name].detach()[~found[name].kept].count_nonzero()):
            raise CheckpointError(
                f"weights of {name} are not zero where its mask says so",
                where=str(path),
                hint="the file was changed by another tool; take the weights as a state dict, without masks",
            )
    try:
        program.set_masks(found)
    except ValueError as error:
        raise CheckpointError(f"its compress.json is damaged ({error})", where=str(path)) from error


def _load_exported(buffer: io.BytesIO, extra: dict[str, str], path: Path) -> torch.export.ExportedProgram:
    try:
        return torch.export.load(buffer, extra_files=extra)
    except Exception as error:  # the deserialiser raises whatever the damaged part made it stumble over
        first = next((line for line in str(error).splitlines() if line.strip()), "")
        cause = f"{type(error).__name__}: {first[:200]}"
        raise CheckpointError(
            f"is not an exported program that torch {torch.__version__} can read ({cause})",
            where=str(path),
            hint="write it again with torch.export.save",
        ) from error


def _parse(text: str, path: Path) -> dict[str, Any]:
    try:
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']!r}")
        version = int(document["version"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"its compress.json is damaged ({error})", where=str(path)) from error
    if version > VERSION:
        raise CheckpointError(
            f"was written by a newer version of this tool (format {version}, this one reads up to {VERSION})",
            where=str(path),
            hint="upgrade compress-toolchain",
        )
    return dict(document)


def _info(document: dict[str, Any], path: Path) -> ProgramInfo:
    try:
        return ProgramInfo.model_validate(document.get("info"))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in ("info", *first["loc"]))
        raise CheckpointError(f"its compress.json is damaged ({place}: {first['msg']})", where=str(path)) from error


def _complete(program: Program, document: dict[str, Any], path: Path) -> Program:
    """Give a Program read back from our own archive its training graph, names, ties and history."""
    info = _info(document, path)
    try:
        inputs = tuple(TensorSpec(str(name), tuple(shape), str(dtype)) for name, shape, dtype in document["inputs"])
        shapes = {spec.name: ((2, *spec.shape[1:]), getattr(torch, spec.dtype)) for spec in inputs}
        evaluation = program.graphs[False]
        for node in evaluation.nodes:
            node.meta.update(document["nodes"].get(node.name, {}))
        tensors = program.tensors
        ties = {str(name): str(owner) for name, owner in document["tied"].items()}
        restored = Program(
            graphs={False: evaluation, True: graph_from_json(document["training"], shapes, where=str(path))},
            tensors={**tensors, **{name: tensors[owner] for name, owner in ties.items()}},
            parameters={str(name): bool(flag) for name, flag in document["parameters"].items()},
            transient=document["transient"],
            tied=ties,
            inputs=inputs,
            output_names=tuple(document["outputs"]),
            dynamic_size=bool(document["dynamic_size"]),
            info=info,
        )
        unknown = {str(node.target) for node in restored.graphs[True].nodes if node.op == "get_attr"} - set(tensors)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"its compress.json is damaged ({type(error).__name__}: {error})", where=str(path)
        ) from error
    if unknown:
        raise CheckpointError(
            f"its training graph names tensors that are not in it: {sorted(unknown)[:3]}", where=str(path)
        )
    _put_masks(restored, document, path)
    return restored
