"""Cells for compute capabilities that a file is compiled for ahead of time. What compiles is handed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from deploy.compatibility.densifying import has_sparse_operators
from deploy.compatibility.probing import standing
from deploy.compatibility.records import Cell
from deploy.compatibility.remedies import Takes, find
from deploy.compatibility.subject import Subject

if TYPE_CHECKING:
    import onnx

CAPABILITIES = ("7.5", "8.0", "8.6", "8.9", "12.0", "12.1")
COMPILER = "tensorrt-rtx"
_MOST_OPSETS = 4  # compilers take seconds to start


@dataclass(frozen=True)
class Compiled:
    """What became of one compilation.

    ``unsupported`` are the operators that the compiler's parser names; ``parsed`` is false where it cannot read the
    file.
    """

    outcome: Literal["compiles", "refused", "crashed", "hung", "not tested here"]
    compiler: str = COMPILER
    version: str | None = None
    reason: str | None = None
    unsupported: tuple[str, ...] = ()
    parsed: bool = True


Compiler = Callable[[Path, str, float], Compiled]
"""Compiles a file for a compute capability such as ``"8.6"`` within so many seconds; raises nothing."""


class Compilations:
    """One file for all capabilities. What cannot even be parsed is the same for each: it is tried once."""

    def __init__(self, subject: Subject, compiler: Compiler, timeout: float) -> None:
        self._subject = subject
        self._compiler = compiler
        self._timeout = timeout
        self._unparsed: Cell | None = None

    def cell(self, capability: str) -> Cell:
        """Return the cell of one capability."""
        subject, device = self._subject, f"sm {capability}"
        if self._unparsed is not None:
            return self._unparsed.model_copy(update={"device": device}, deep=True)
        cell = Cell(file=subject.label, runtime=COMPILER, device=device, outcome="not tested here")
        if subject.model is None:
            cell.reason = "only ONNX files are compiled ahead of time"
            return cell
        made = self._compiler(_sized(subject), capability, self._timeout)
        cell.runtime, cell.version, cell.outcome = made.compiler, made.version, made.outcome
        cell.unsupported = list(made.unsupported)
        cell.reason = made.reason or ("compiled ahead of time, not executed" if made.outcome == "compiles" else None)
        if made.outcome == "refused":
            cell.needs = self._needs(made, capability)
        if not made.parsed:
            self._unparsed = cell
        return cell

    def _needs(self, made: Compiled, capability: str) -> str | None:
        """What was parsed has no need of another opset; and nothing makes other people's operators ONNX's."""
        import onnx

        assert self._subject.model is not None
        foreign = [standing(name, self._subject.model) is not None for name in made.unsupported]
        mendable = has_sparse_operators(self._subject.model) or self._subject.model.functions
        if foreign and all(foreign) and not mendable:
            return None
        model = _fixed(self._subject)
        young = model.ir_version > onnx.IR_VERSION
        return find(model, self._takes(capability), versions=young, opsets=0 if made.parsed else _MOST_OPSETS)

    def _takes(self, capability: str) -> Takes:
        def takes(model: onnx.ModelProto) -> bool:
            path = self._subject.save(model, "remedy")
            return self._compiler(path, capability, self._timeout).outcome == "compiles"

        return takes


def _sized(subject: Subject) -> Path:
    """Return the file itself, or a copy in which dimensions beside the batch have the sizes that were given."""
    fixed = _fixed(subject)
    return subject.path if fixed is subject.model else subject.save(fixed, "sized")


def _fixed(subject: Subject) -> onnx.ModelProto:
    import onnx

    assert subject.model is not None
    assert subject.inputs is not None
    feeds = subject.inputs.feeds or {}
    open_axes = [
        (spec.name, axis)
        for spec in subject.inputs.inputs
        for axis, size in enumerate(spec.shape)
        if axis > 0 and isinstance(size, str) and spec.name in feeds
    ]
    if not open_axes:
        return subject.model
    copy = onnx.ModelProto()
    copy.CopyFrom(subject.model)
    for value in copy.graph.input:
        for axis in (axis for name, axis in open_axes if name == value.name):
            value.type.tensor_type.shape.dim[axis].dim_value = feeds[value.name].shape[axis]
    return copy
