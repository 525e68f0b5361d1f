"""The pass: an ONNX file whose weights have zeros becomes one whose zeros save time, wherever they do."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress import operators
from compress.errors import ExportError
from compress.files import atomic_path, check_writable, sha256_file
from exporters.artifact import Artifact
from exporters.onnx_file import read_plain
from exporters.sparse import library
from exporters.sparse.compiler import glibc_needed
from exporters.sparse.deciding import Conditions, Progress, Survey, silent
from exporters.sparse.proving import prove

if TYPE_CHECKING:
    import onnx

KIND = "onnx-sparse"


def sparsify_onnx(
    onnx_path: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    measure: bool = False,
    threads: int = 1,
    batch: int = 1,
    sizes: Mapping[str, int] | None = None,
    platform: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Artifact:
    """Write ``onnx_path`` with sparse operators to ``path``, and their library beside it.

    A convolution or matrix product with a constant weight becomes sparse where that is expected to be faster (by the
    rule of :mod:`exporters.sparse.choice`), or with ``measure`` where it is faster on this machine, layer by layer and
    then the network as a whole; everything else stays as it is. Bias, residual addition, ReLU and Clip behind a layer
    go into its operator. The result is run against ``onnx_path`` before it appears. Where no layer is chosen the file
    stays dense, needs no library, and ``metadata["notes"]`` says so.

    Args:
        measure: choose by measuring here, in pairs with ONNX Runtime's own operators.
        threads, batch: for what the layers are chosen.
        sizes: of dynamic dimensions other than the batch, by name.
        platform: to write the library for, such as ``linux-aarch64``; this machine's where not given.
        overwrite: whether files that exist may be replaced.
        progress: called with what is done now.

    Returns:
        The artifact of kind ``onnx-sparse``; ``metadata`` has ``layers`` (one
        :class:`exporters.sparse.deciding.LayerReport` each, as JSON types), ``library`` (its name, hash and the
        oldest C library that loads it), ``network`` (dense against sparse, measured) and ``notes``.

    Raises:
        ExportError: ``onnx_path`` is not valid ONNX, has sparse operators already, or the sparse file does not compute
            the same; nothing is written.
        InputError: ``path`` cannot be written, or exists and ``overwrite`` is false.
        UnavailableError: the library cannot be built here for ``platform``.
    """
    target = platform or operators.host()
    check_writable(path, overwrite=overwrite)
    if measure and target != operators.host():
        raise ExportError(f"layers of {target} cannot be measured on {operators.host()}", hint="leave --measure out")
    proto = read_plain(onnx_path)
    where = Path(onnx_path).name
    built = library.find(target, progress)
    beside = Path(path).parent / built.name
    library.check_place(beside, built, overwrite=overwrite)
    # What is run here, to measure and to prove, needs this machine's library.
    own = built if target == operators.host() else library.find(None, progress)
    conditions = Conditions(own, threads, batch, dict(sizes or {}))
    decision = Survey(proto, where, conditions, progress).decide(measure=measure)
    if decision.chosen:
        _label(decision.proto, beside.name)
    progress("running it against the dense file")
    data = decision.proto.SerializeToString(deterministic=True)
    figures = prove(proto, data, where, conditions)
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(data)
        if decision.chosen:
            _place(built, beside)
    described = {"name": beside.name, "sha256": sha256_file(built), "platform": target, "glibc": glibc_needed(built)}
    metadata: dict[str, Any] = {
        "source": {"file": where, "sha256": sha256_file(onnx_path), "bytes": Path(onnx_path).stat().st_size},
        "library": described if decision.chosen else None,
        **decision.to_dict(),
    }
    return Artifact(Path(path), sha256_file(path), KIND, verification=figures, metadata=metadata)


def sparsify_to_measure(
    onnx_path: str | os.PathLike[str], path: str | os.PathLike[str], *, threads: int = 1, batch: int = 1
) -> None:
    """Write ``onnx_path`` with sparse operators chosen by rule to ``path``, and their library beside it, as
    :func:`sparsify_onnx` does, but without running it against ``onnx_path``: to be measured, not to be used.

    Raises:
        ExportError: ``onnx_path`` is not valid ONNX, or has sparse operators already.
        InputError: ``path`` cannot be written.
        UnavailableError: the library cannot be built here.
    """
    proto = read_plain(onnx_path)
    built = library.find(None, silent)
    conditions = Conditions(built, threads, batch, {})
    decision = Survey(proto, Path(onnx_path).name, conditions, silent).decide(measure=False)
    if decision.chosen:
        _label(decision.proto, built.name)
        _place(built, Path(path).parent / built.name)
    with atomic_path(path) as temporary:
        temporary.write_bytes(decision.proto.SerializeToString(deterministic=True))


def _label(proto: onnx.ModelProto, name: str) -> None:
    """Say in the file's metadata which library it needs."""
    kept = [item for item in proto.metadata_props if item.key != operators.KEY]
    del proto.metadata_props[:]
    proto.metadata_props.extend(kept)
    proto.metadata_props.add(key=operators.KEY, value=name)


def _place(built: Path, beside: Path) -> None:
    if library.same(beside, built):
        return
    with atomic_path(beside) as temporary:
        shutil.copyfile(built, temporary)
