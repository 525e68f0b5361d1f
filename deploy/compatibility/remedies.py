"""What would mend a file that a runtime refuses? Copies that differ in one respect are tried until one runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import onnx

from deploy.compatibility import trial
from deploy.compatibility.asking import ask
from deploy.compatibility.densifying import densified, has_sparse_operators
from deploy.compatibility.retyping import float_types, retyped
from deploy.compatibility.subject import Subject, opset_of

_OPSETS = (8, 11, 13, 15, 17, 18, 20, 21, 22)
_NEAR = (-1, -2, -3, 1)
MOST_OPSETS = 10
_IR_VERSIONS = range(13, 7, -1)
Takes = Callable[[onnx.ModelProto], bool]


@dataclass(frozen=True)
class Remedy:
    """``needs`` as it stands in a cell, and how to make the copy; None where it cannot be made."""

    needs: str
    make: Callable[[onnx.ModelProto], onnx.ModelProto | None]


def find(model: onnx.ModelProto, takes: Takes, *, versions: bool = False, opsets: int = MOST_OPSETS) -> str | None:
    """Return what a file needs for ``takes`` to accept it, by trial; None where nothing that was tried helps.

    Args:
        takes: whether a copy is accepted.
        versions: whether a network of one node is refused, too: then other IR versions are tried first.
        opsets: how many other opsets are tried, the nearest first.
    """
    formats = _formats(model) if versions else []
    others = _opsets(model)[:opsets]
    for remedy in [*formats, *types(model), *others]:
        if _helps(model, [remedy], takes):
            return remedy.needs
    for first in [*formats[:1], *types(model)]:
        changed = first.make(model)
        plainer = has_sparse_operators(model) or bool(model.functions)
        retyped_twins = types(changed) if changed is not None and plainer else []
        seconds = [*retyped_twins, *others[:3]]
        for second in seconds:
            if _helps(model, [first, second], takes):
                return f"{first.needs} and {second.needs}"
    return None


def in_runtime(subject: Subject, runtime: str, *, timeout: float) -> Takes:
    """Return whether ``runtime`` loads and runs a copy."""

    def takes(model: onnx.ModelProto) -> bool:
        path = subject.save(model, "remedy")
        feeds = subject.feeds(model)
        asked = {
            "path": str(path),
            "runtime": runtime,
            "threads": 1,
            "run": feeds is not None,
            "feeds": str(feeds),
            "outputs": str(subject.folder / "remedy.npz"),
        }
        answer = ask(trial.RUN, asked, timeout=timeout)
        return answer.value is not None

    return takes


def _helps(model: onnx.ModelProto, remedies: list[Remedy], takes: Takes) -> bool:
    changed: onnx.ModelProto | None = model
    for remedy in remedies:
        changed = remedy.make(changed) if changed is not None else None
    return changed is not None and takes(changed)


def types(model: onnx.ModelProto) -> list[Remedy]:
    """The dense weights of sparse operators; functions inlined; float32 for any other type, float16 for float32."""
    if has_sparse_operators(model):
        return [Remedy("dense weights", densified)]
    if model.functions:
        return [Remedy("its functions inlined", _inlined)]
    types = float_types(model)
    if types - {"fp32"}:
        return [Remedy("fp32", lambda given: retyped(given, "fp32"))]
    return [Remedy("fp16", lambda given: retyped(given, "fp16"))] if types else []


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    import onnx.inliner

    inlined: onnx.ModelProto = onnx.inliner.inline_local_functions(model)
    return inlined


def _formats(model: onnx.ModelProto) -> list[Remedy]:
    return [Remedy(f"IR version {ir}", _with_ir(ir)) for ir in _IR_VERSIONS if ir < model.ir_version]


def _with_ir(version: int) -> Callable[[onnx.ModelProto], onnx.ModelProto]:
    def make(model: onnx.ModelProto) -> onnx.ModelProto:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        copy.ir_version = version
        return copy

    return make


def _opsets(model: onnx.ModelProto) -> list[Remedy]:
    """Other opsets, the nearest first."""
    mine, newest = opset_of(model), onnx.defs.onnx_opset_version()
    if mine is None:
        return []
    near = min(mine, newest)
    wanted = {*_OPSETS, *(near + step for step in _NEAR), newest} - {mine}
    return [
        Remedy(f"opset {opset}", _with_opset(opset))
        for opset in sorted((each for each in wanted if 0 < each <= newest), key=lambda each: abs(each - mine))
    ]


def _with_opset(opset: int) -> Callable[[onnx.ModelProto], onnx.ModelProto | None]:
    def make(model: onnx.ModelProto) -> onnx.ModelProto | None:
        known, newest = _of_known_opset(model), onnx.defs.onnx_opset_version()
        if opset == newest and opset_of(known) == newest:
            return known
        try:
            converted: onnx.ModelProto = onnx.version_converter.convert_version(known, opset)
        except Exception:  # noqa: BLE001 - it raises RuntimeError, and others, for what it cannot convert
            return None
        return converted

    return make


def _of_known_opset(model: onnx.ModelProto) -> onnx.ModelProto:
    """ONNX cannot convert from an opset that it does not know: such a file is tried as of the newest known."""
    newest = onnx.defs.onnx_opset_version()
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for entry in copy.opset_import:
        if entry.domain in ("", "ai.onnx") and entry.version > newest:
            entry.version = newest
    return copy
