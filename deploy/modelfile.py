"""Look at a deployment file before anything runs it: is it whole, what precision is it in, what belongs to it?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compress.errors import InputError, UnavailableError
from compress.files import sha256_file
from compress.operators import DOMAIN, library_beside
from deploy.enginefile import SUFFIXES, inspect_engine
from deploy.records import ModelFile

_PRECISIONS = {
    "FLOAT": "fp32",
    "FLOAT16": "fp16",
    "BFLOAT16": "bf16",
    "DOUBLE": "fp64",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT4": "int4",
    "UINT4": "uint4",
}
# Below this share of the weights a type is a detail (a zero point, a table), not the precision of the network.
_SHARE = 0.02

_MASK = 2  # the input of sparse operators that says where their values belong

NETWORKS = (".pt2", ".pt", ".pth", ".th", ".bin", ".safetensors")


def inspect(path: str | os.PathLike[str]) -> ModelFile:
    """Identify an ONNX file that is to run here: :func:`identify`, and a look at the library of its sparse operators.

    TensorRT engines (``.engine``, ``.plan``) are identified, too, by their record where there is one.

    Raises:
        InputError: as :func:`identify`, or the library for this machine is missing or damaged.
        UnavailableError: the onnx package is not installed.
    """
    known = identify(path)
    library_beside(path)
    return known


def identify(path: str | os.PathLike[str]) -> ModelFile:
    """Read an ONNX file's structure, check that its data are there in full, and identify it by content.

    Raises:
        InputError: missing, a folder, empty, not ONNX, truncated; or external data that is missing, short or outside.
        UnavailableError: the onnx package is not installed.
    """
    file = Path(path)
    if file.suffix.lower() in SUFFIXES and file.is_file():
        return inspect_engine(file)
    model = _parse(file)
    external = _external_files(model, file)
    return ModelFile(
        name=file.name,
        sha256=sha256_file(file),
        size=file.stat().st_size + sum((file.parent / name).stat().st_size for name in external),
        external={name: sha256_file(file.parent / name) for name in external},
        precision=_precision(model),
        opset=next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), None),
        nodes=len(model.graph.node),
    )


def read(path: str | os.PathLike[str]) -> Any:
    """Return an ONNX file as ``onnx.ModelProto`` without its external data, having checked that these are there.

    Raises:
        InputError, UnavailableError: as :func:`inspect`, but sparse operators may be without their library.
    """
    model = _parse(Path(path))
    _external_files(model, Path(path))
    return model


def _parse(file: Path) -> Any:
    where = str(file)
    if file.is_dir():
        raise InputError("is a folder, an ONNX file was expected", where=where, hint="name the .onnx file in it")
    if not file.is_file():
        what = "is no regular file" if file.exists() else "does not exist"
        raise InputError(what, where=where, hint="check the path")
    if file.suffix in NETWORKS:
        raise InputError(
            "is a network, not a deployment file", where=where, hint="write one with compress export first"
        )
    if file.stat().st_size == 0:
        raise InputError("is empty", where=where, hint="export it again")
    try:
        import onnx
    except ImportError as error:
        raise UnavailableError("reading ONNX files needs the onnx package", hint="pip install onnx") from error
    again = "check that it is an ONNX file, or export it again"
    try:
        model = onnx.load(where, load_external_data=False)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", where=where) from error
    except Exception as error:  # protobuf's DecodeError lives in a package that is not ours to import
        raise InputError("is not an ONNX file, or is truncated", where=where, hint=again) from error
    if model.ir_version < 1 or not model.graph.output:
        raise InputError("is not an ONNX file, or is truncated (it holds no graph)", where=where, hint=again)
    return model


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in [attribute.g, *attribute.graphs]:
                yield from _tensors(inner)


def _external_files(model: Any, file: Path) -> list[str]:
    needed: dict[str, int] = {}
    for tensor in _tensors(model.graph):
        if tensor.data_location != tensor.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        name = entries.get("location", "")
        numbers = [entries.get("offset", "0") or "0", entries.get("length", "0") or "0"]
        if not name or not all(number.isdecimal() for number in numbers):
            raise InputError(f"tensor {tensor.name!r} names its external data wrongly", where=str(file))
        needed[name] = max(needed.get(name, 0), sum(int(number) for number in numbers))
    for name, size in needed.items():
        _check_external(file, name, size)
    return sorted(needed)


def _check_external(file: Path, name: str, size: int) -> None:
    where, again = str(file), "keep both files together as they were exported"
    folder = file.parent.resolve()
    target = (folder / name).resolve()
    if not target.is_relative_to(folder):
        raise InputError(f"its external data {name!r} lies outside its folder", where=where, hint=again)
    if not target.is_file():
        raise InputError(f"its external data {name!r} is missing", where=where, hint=again)
    if target.stat().st_size < size:
        raise InputError(
            f"its external data {name!r} is truncated ({target.stat().st_size} bytes of {size})",
            where=where,
            hint=again,
        )


def _precision(model: Any) -> str:
    import onnx

    elements: dict[str, int] = {}
    masks = {node.input[_MASK] for node in model.graph.node if node.domain == DOMAIN and len(node.input) > _MASK}
    for tensor in _tensors(model.graph):
        if tensor.name in masks:
            continue
        label = _PRECISIONS.get(onnx.TensorProto.DataType.Name(tensor.data_type))
        if label:
            count = 1
            for size in tensor.dims:
                count *= size
            elements[label] = elements.get(label, 0) + count
    if not elements:
        kinds = {onnx.TensorProto.DataType.Name(entry.type.tensor_type.elem_type) for entry in model.graph.input}
        return "+".join(sorted(_PRECISIONS[kind] for kind in kinds if kind in _PRECISIONS)) or "unknown"
    total = sum(elements.values())
    return "+".join(sorted(label for label, count in elements.items() if count >= _SHARE * total))
