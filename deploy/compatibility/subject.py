"""A file whose compatibility is established: what it declares, its inputs, and copies of it to try."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compress.errors import InputError
from deploy import modelfile
from deploy.feeds import make_feeds
from deploy.runtimes.base import Array, InputSpec

if TYPE_CHECKING:
    import onnx

ONNX = ".onnx"
_INLINE_BYTES = 1 << 30  # above it weights go into a file of their own: a protobuf message has to stay below 2 GiB


@dataclass(frozen=True)
class Inputs:
    """What a file declares, and arrays for it; ``missing`` says why there are none."""

    path: Path
    inputs: tuple[InputSpec, ...]
    feeds: Mapping[str, Array] | None = None
    missing: str | None = None

    @property
    def dynamic(self) -> set[str]:
        """The dynamic dimensions beside the batch, by name, and as ``"input:axis"``."""
        found: set[str] = set()
        for spec in self.inputs:
            for axis, size in enumerate(spec.shape):
                if axis > 0 and isinstance(size, str):
                    found |= {f"{spec.name}:{axis}", size} - {""}
        return found

    def filled(self, sizes: Mapping[str, int], seed: int) -> Inputs:
        """Return the same with arrays of its batch.

        Raises:
            InputError: a dynamic dimension has no size.
        """
        unknown = [spec for spec in self.inputs if spec.dtype not in _NUMPY]
        if unknown:
            reason = f"input {unknown[0].name!r} is of type {unknown[0].dtype}, which cannot be made up"
            return replace(self, missing=reason)
        return replace(self, feeds=make_feeds(self, batch=self.batch, sizes=self.own(sizes), seed=seed))

    @property
    def batch(self) -> int:
        """The batch that the file has fixed, else 1."""
        first = [spec.shape[0] for spec in self.inputs if spec.shape]
        return next((size for size in first if isinstance(size, int)), 1)

    def own(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """Return those of ``sizes`` that are of a dimension of this file."""
        return {name: size for name, size in sizes.items() if name in self.dynamic}


@dataclass(frozen=True)
class Subject:
    """One file, opened. ``model`` is absent where the file is not ONNX; ``folder`` is for copies, and goes with it."""

    path: Path
    label: str
    inputs: Inputs | None
    model: onnx.ModelProto | None
    folder: Path

    @property
    def opset(self) -> int | None:
        """The version of ONNX's own operators that the file declares."""
        return None if self.model is None else opset_of(self.model)

    def feeds(self, model: onnx.ModelProto | None = None) -> Path | None:
        """Return a file with the inputs, in the types that ``model`` (default: the file itself) declares."""
        if self.inputs is None or self.inputs.feeds is None:
            return None
        declared = {spec.name: spec.dtype for spec in (specs(model) if model is not None else self.inputs.inputs)}
        arrays = {name: array.astype(_NUMPY[declared[name]]) for name, array in self.inputs.feeds.items()}
        path = self.folder / f"feeds-{'-'.join(sorted({array.dtype.name for array in arrays.values()}))}.npz"
        if not path.exists():
            np.savez(path, **arrays)  # type: ignore[arg-type]  # a name that is no word is fine, too
        return path

    def save(self, model: onnx.ModelProto, name: str) -> Path:
        """Write a copy into the folder; its weights beside it where they are many."""
        import onnx

        path = self.folder / f"{name}{ONNX}"
        onnx.save(
            model, str(path), save_as_external_data=model.ByteSize() > _INLINE_BYTES, location=f"{path.name}.data"
        )
        return path


def declared(path: Path) -> Inputs | None:
    """Look at ``path`` before any work; None where it is not an ONNX file.

    Raises:
        InputError: missing, empty, truncated or not ONNX; or external data that is not whole.
        UnavailableError: the onnx package is not installed.
    """
    if path.suffix.lower() != ONNX and path.is_file() and path.suffix not in modelfile.NETWORKS:
        return None
    return Inputs(path, specs(modelfile.read(path)))


@contextlib.contextmanager
def opened(path: Path, label: str, inputs: Inputs | None) -> Iterator[Subject]:
    """Read the whole file, and keep a folder for copies of it while the context is open.

    Raises:
        InputError: the file became unreadable, or there is no room for copies.
    """
    from deploy.compatibility.densifying import unpack_initializers

    model: Any = None
    if inputs is not None:
        import onnx

        model = onnx.load(str(path))
        unpack_initializers(model)
    try:
        with tempfile.TemporaryDirectory(prefix="compress-compatibility-") as folder:
            yield Subject(path, label, inputs, model, Path(folder))
    except OSError as error:
        raise InputError(
            f"its copies cannot be written ({error.strerror or error})",
            where=str(path),
            hint="free some space, or set TMPDIR",
        ) from error


def specs(model: onnx.ModelProto) -> tuple[InputSpec, ...]:
    """Return the inputs that a model declares, without those that have a value of their own."""
    own = {tensor.name for tensor in model.graph.initializer}
    return tuple(_spec(value) for value in model.graph.input if value.name not in own)


def opset_of(model: onnx.ModelProto) -> int | None:
    """Return the version of ONNX's own operators that a model declares."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), None)


_NUMPY = {"float": "float32", "float16": "float16", "double": "float64", "bool": "bool"} | {
    f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}


def _spec(value: onnx.ValueInfoProto) -> InputSpec:
    import onnx

    kind = value.type.WhichOneof("value") or "value of no type"
    if kind != "tensor_type":
        return InputSpec(value.name, kind.removesuffix("_type"), ())
    tensor = value.type.tensor_type
    dtype = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
    sizes = (size.dim_value if size.HasField("dim_value") else size.dim_param for size in tensor.shape.dim)
    return InputSpec(value.name, dtype, tuple(sizes))
