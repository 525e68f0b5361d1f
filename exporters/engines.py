"""ONNX files become TensorRT engines, one per compute capability and precision, each with a JSON record beside it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from compress.errors import ExportError, InputError
from compress.files import check_writable, sha256_file, write_bytes, write_text
from exporters import _tensorrt, two_four
from exporters._interrupts import held_back
from exporters.artifact import COMPILED_AHEAD, COMPILED_HERE, Artifact
from exporters.fp16 import convert_fp16
from exporters.onnx_file import read_plain

if TYPE_CHECKING:
    import onnx

    from exporters._runtime import Array

Precision = Literal["fp32", "fp16"]
DEFAULT_CAPABILITIES = ("8.6", "8.9")
RECORD_VERSION = 1


@dataclass(frozen=True)
class BatchRange:
    """The batch sizes an engine accepts (``smallest`` to ``largest``) and the one it is tuned for."""

    smallest: int = 1
    tuned: int = 1
    largest: int = 32

    def __post_init__(self) -> None:
        if not 1 <= self.smallest <= self.tuned <= self.largest:
            raise InputError(f"batch range {self.smallest}:{self.tuned}:{self.largest} is not 1 <= MIN <= OPT <= MAX")


class ParseError(ExportError):
    """TensorRT cannot parse a file. ``operators`` are those that it says it lacks, with their domain if not ONNX's."""

    def __init__(self, what: str, *, where: str | None = None, operators: Sequence[str] = ()) -> None:
        super().__init__(what, where=where)
        self.operators = tuple(operators)


@dataclass(frozen=True)
class EngineFailure:
    """A capability and precision for which TensorRT made no engine, and its own reason."""

    compute_capability: str
    precision: str
    reason: str


@dataclass(frozen=True)
class EngineSet:
    """What :func:`build_engines` made, and what it could not."""

    engines: tuple[Artifact, ...]
    failures: tuple[EngineFailure, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return both as JSON types."""
        return {
            "engines": [engine.to_dict() for engine in self.engines],
            "failures": [asdict(failure) for failure in self.failures],
        }


def to_tensorrt(
    onnx_path: str | os.PathLike[str],
    path: str | os.PathLike[str],
    compute_capability: str = "8.6",
    precision: Precision = "fp32",
    overwrite: bool = False,
    *,
    batch: BatchRange | None = None,
    samples: Mapping[str, Array] | None = None,
) -> Artifact:
    """Compile an ONNX file into a TensorRT engine at ``path``, with its record in ``path`` + ``.json``.

    With TensorRT for RTX no GPU is needed, and the status is "compiled ahead of time, not executed": no numerical claim
    covers the engine until ``python -m exporters.run_engine`` ran it. ``fp32`` computes in float32 (TF32 is off);
    ``fp16`` compiles the float16 form of the graph (:func:`exporters.convert_fp16`), with float32 inputs and outputs.
    Where weights are in the pattern 2:4 TensorRT is allowed its sparse kernels; the record says how many are.

    Args:
        compute_capability: of the target GPU, such as ``"8.6"`` or ``"8.9"``.
        batch: batch sizes the engine accepts; 1 to 32, tuned for 1, where not given.
        samples: real inputs by name, to verify the float16 form on.

    Raises:
        ExportError: the file is not valid ONNX, or TensorRT cannot compile it for this target (its reason is given);
            a :class:`ParseError` where TensorRT cannot even parse it.
        InputError: an argument is wrong, or ``path`` cannot be written.
        UnavailableError: TensorRT is not installed, or needs a GPU that is not here.
    """
    _check_precision(precision)
    check_writable(path, overwrite=overwrite)
    check_writable(_record_path(path), overwrite=True)
    tensorrt = _tensorrt.find()
    with _source(onnx_path, precision, samples) as source:
        return _compile(tensorrt, source, Path(path), compute_capability, batch or BatchRange())


def build_engines(
    onnx_path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    compute_capabilities: Sequence[str] = DEFAULT_CAPABILITIES,
    precisions: Sequence[Precision] = ("fp32",),
    overwrite: bool = False,
    batch: BatchRange | None = None,
    samples: Mapping[str, Array] | None = None,
) -> EngineSet:
    """Compile one engine per capability and precision: ``folder/NAME.sm86.fp16.engine`` and its record beside it.

    Returns:
        The engines made, and for each target that failed TensorRT's own reason.

    Raises:
        ExportError: every target failed; the message holds every reason.
        InputError, UnavailableError: as :func:`to_tensorrt`, before any work starts.
    """
    targets = _targets(Path(onnx_path), Path(folder), compute_capabilities, precisions)
    for path in targets.values():
        check_writable(path, overwrite=overwrite)
    tensorrt = _tensorrt.find()
    engines: list[Artifact] = []
    failures: list[EngineFailure] = []
    for precision in dict.fromkeys(precisions):
        wanted = {capability: path for (capability, kind), path in targets.items() if kind == precision}
        try:
            with _source(onnx_path, precision, samples) as source:
                _compile_each(tensorrt, source, wanted, batch or BatchRange(), engines, failures)
        except ExportError as error:
            failures += [EngineFailure(capability, precision, _reason(error)) for capability in wanted]
    if not engines:
        reasons = "; ".join(f"{item.compute_capability} {item.precision}: {item.reason}" for item in failures)
        raise ExportError(f"no TensorRT engine could be compiled ({reasons})", where=Path(onnx_path).name)
    return EngineSet(tuple(engines), tuple(failures))


def read_record(engine: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the record beside an engine file.

    Raises:
        InputError: there is none, it is not one, or it belongs to another engine.
    """
    path = _record_path(engine)
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(
            f"has no record beside it ({error.strerror})", where=str(engine), hint=f"expected {path.name}"
        ) from error
    try:
        record = json.loads(text)
    except ValueError as error:
        raise InputError(f"is not JSON ({error})", where=str(path), hint="compile the engine again") from error
    if not isinstance(record, dict) or record.get("version") != RECORD_VERSION:
        raise InputError("is not an engine record of this version", where=str(path), hint="compile the engine again")
    if not Path(engine).is_file():
        raise InputError("no such engine file", where=str(engine))
    if record.get("engine_sha256") != sha256_file(engine):
        raise InputError("belongs to another engine (hashes differ)", where=str(path), hint="compile the engine again")
    return record


@dataclass(frozen=True)
class _Source:
    """The graph to compile: parsed for its inputs, with the hash of the file the user gave."""

    proto: onnx.ModelProto
    name: str
    sha256: str
    precision: str
    half: dict[str, Any]


@contextmanager
def _source(path: str | os.PathLike[str], precision: str, samples: Mapping[str, Array] | None) -> Iterator[_Source]:
    read_plain(path)  # TensorRT's parser takes any bytes for a network without nodes
    name, sha256 = Path(path).name, sha256_file(path)
    if precision == "fp32":
        yield _Source(read_plain(path), name, sha256, precision, {})
        return
    with tempfile.TemporaryDirectory() as folder:
        half = convert_fp16(path, Path(folder) / "half.onnx", samples=samples)
        details = half.metadata | {"verification": half.verification, "onnx_sha256": half.sha256}
        yield _Source(read_plain(half.path), name, sha256, precision, details)


def _compile_each(
    tensorrt: _tensorrt.TensorRT,
    source: _Source,
    wanted: Mapping[str, Path],
    batch: BatchRange,
    engines: list[Artifact],
    failures: list[EngineFailure],
) -> None:
    for capability, path in wanted.items():
        try:
            engines.append(_compile(tensorrt, source, path, capability, batch))
        except ExportError as error:
            failures.append(EngineFailure(capability, source.precision, _reason(error)))


def _reason(error: ExportError) -> str:
    return f"{error.what}; {error.hint}" if error.hint else error.what


def _compile(tensorrt: _tensorrt.TensorRT, source: _Source, path: Path, capability: str, batch: BatchRange) -> Artifact:
    api, logger = tensorrt.api, tensorrt.logger()
    builder = api.Builder(logger)
    network = builder.create_network(_strongly_typed(api))
    _parse(tensorrt, network, logger, source)
    config = builder.create_builder_config()
    config.clear_flag(api.BuilderFlag.TF32)
    tensorrt.aim(config, capability)
    zeros = two_four.examine(source.proto)
    has_flag = tensorrt.allow_sparse_weights(config) if zeros.fitting else False
    profile = _profile(builder, config, source, batch)
    with held_back():
        engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ExportError(
            f"{tensorrt.name} cannot compile it for compute capability {capability} in {source.precision}: "
            f"{' / '.join(logger.errors) or 'it gave no reason'}",
            where=source.name,
        )
    write_bytes(path, bytes(engine))
    record = {
        "version": RECORD_VERSION,
        "engine_sha256": sha256_file(path),
        "onnx": source.name,
        "onnx_sha256": source.sha256,
        "tensorrt": tensorrt.name,
        "tensorrt_version": tensorrt.version,
        "compute_capability": capability,
        "precision": source.precision,
        "builder_flags": _flags(api, config),
        "strongly_typed": True,
        "profile": profile,
        "float16": source.half,
        "two_four": asdict(zeros) | {"text": zeros.text(has_flag=has_flag, precision=source.precision)},
        "status": COMPILED_AHEAD if tensorrt.ahead else COMPILED_HERE,
        "warnings": logger.warnings,
    }
    write_text(_record_path(path), json.dumps(record, indent=2) + "\n")
    return Artifact(path, str(record["engine_sha256"]), "tensorrt", status=str(record["status"]), metadata=record)


def _parse(tensorrt: _tensorrt.TensorRT, network: Any, logger: Any, source: _Source) -> None:
    parser = tensorrt.api.OnnxParser(network, logger)
    if parser.parse(source.proto.SerializeToString()):
        return
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    reasons = [f"{item.node_operator()} {item.node_name()!r}: {item.code().name}: {item.desc()}" for item in errors]
    raise ParseError(
        f"{tensorrt.name} cannot parse it: {' / '.join(reasons)}",
        where=source.name,
        operators=_lacking(source.proto, errors),
    )


def _lacking(proto: onnx.ModelProto, errors: Sequence[Any]) -> list[str]:
    """Return the operators that the parser's errors are about: it has no layer and no plugin for them."""
    domains = {node.op_type: node.domain for node in _nodes(proto.graph)}
    named = [
        item.node_operator()
        for item in errors
        if item.node_operator() and (item.code().name == "UNSUPPORTED_NODE" or "Plugin not found" in item.desc())
    ]
    own = ("", "ai.onnx")
    return [kind if domains.get(kind, "") in own else f"{domains[kind]}::{kind}" for kind in dict.fromkeys(named)]


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield the nodes of a graph, and of those in its nodes."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from _nodes(inner)


def _strongly_typed(api: Any) -> int:
    """Strong typing is a creation flag, except in versions in which every network is strongly typed."""
    flag = api.NetworkDefinitionCreationFlag.__members__.get("STRONGLY_TYPED")
    return 0 if flag is None else 1 << int(flag)


def _profile(builder: Any, config: Any, source: _Source, batch: BatchRange) -> dict[str, list[list[int]]]:
    """Add an optimisation profile over the batch; returned as ``{input: [smallest, tuned, largest shape]}``."""
    profile = builder.create_optimization_profile()
    shapes: dict[str, list[list[int]]] = {}
    for value in source.proto.graph.input:
        sizes = [size.dim_value or None for size in value.type.tensor_type.shape.dim]
        if None in sizes[1:]:
            raise ExportError(
                f"input {value.name!r} has a dynamic axis beside the batch",
                where=source.name,
                hint="fix its size at export",
            )
        if sizes and sizes[0] is None:
            fixed = [size for size in sizes[1:] if size is not None]
            shapes[value.name] = [[number, *fixed] for number in (batch.smallest, batch.tuned, batch.largest)]
            profile.set_shape(value.name, *(tuple(shape) for shape in shapes[value.name]))
    if shapes and config.add_optimization_profile(profile) < 0:
        raise ExportError(f"TensorRT refuses the batch range {batch}", where=source.name)
    return shapes


def _flags(api: Any, config: Any) -> list[str]:
    return [name for name, flag in api.BuilderFlag.__members__.items() if config.get_flag(flag)]


def _targets(
    onnx_path: Path, folder: Path, capabilities: Sequence[str], precisions: Sequence[Precision]
) -> dict[tuple[str, Precision], Path]:
    if not capabilities or not precisions:
        raise InputError("no compute capability or precision was asked for")
    for precision in precisions:
        _check_precision(precision)
    return {
        (capability, precision): folder / f"{onnx_path.stem}.sm{capability.replace('.', '')}.{precision}.engine"
        for capability in capabilities
        for precision in precisions
    }


def _check_precision(precision: str) -> None:
    if precision not in get_args(Precision):
        raise InputError(f"unknown precision {precision!r}", hint=f"choose {' or '.join(get_args(Precision))}")


def _record_path(engine: str | os.PathLike[str]) -> Path:
    return Path(f"{os.fspath(engine)}.json")
