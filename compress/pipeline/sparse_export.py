"""The part of the export job that makes zeros count: sparse operators with their library, and sparse storage."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from compress import operators
from compress.errors import InputError
from compress.files import check_writable, write_text
from compress.pipeline.reporter import Reporter

if TYPE_CHECKING:
    from exporters import Artifact

SPARSE_SUFFIX = ".sparse.onnx"
STORED_SUFFIX = ".coo.onnx"
NO_FASTER = "sparse storage makes the file smaller and nothing faster: every runtime unpacks it when it loads"


@dataclass(frozen=True)
class SparseOptions:
    """What was asked for: sparse operators for ``target_platform``, chosen by rule or by measuring; sparse storage."""

    sparse: bool = False
    target_platform: str | None = None
    measure: bool = False
    sparse_storage: bool = False
    threads: int = 1
    batch: int = 1
    sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def wanted(self) -> bool:
        """Whether anything was."""
        return self.sparse or self.sparse_storage

    def check(self, folder: Path, stem: str, reporter: Reporter, *, force: bool) -> None:
        """Fail before work starts; the library is compiled here, where that was not done before.

        Raises:
            InputError: a file exists already, or options do not go together.
            UnavailableError: the library of the operators cannot be had for the platform.
        """
        if (self.measure or self.target_platform) and not self.sparse:
            raise InputError("--measure and --target-platform are about sparse operators", hint="add --sparse")
        if self.measure and self.target_platform not in (None, operators.host()):
            raise InputError(
                f"layers for {self.target_platform} cannot be measured on {operators.host()}",
                hint="leave --measure out",
            )
        cores = len(os.sched_getaffinity(0))
        if self.measure and self.threads > cores:
            raise InputError(
                f"--threads {self.threads} cannot be measured on {cores} {'core' if cores == 1 else 'cores'}",
                hint="threads that wait for each other measure nothing; ask for fewer",
            )
        wanted = [folder / f"{stem}{SPARSE_SUFFIX}", *_examples(folder, stem).values()] if self.sparse else []
        wanted += [folder / f"{stem}{STORED_SUFFIX}"] if self.sparse_storage else []
        if folder.is_dir():
            for path in wanted:
                check_writable(path, overwrite=force)
        if self.sparse:
            from exporters.sparse import library

            with reporter.step("getting the sparse operators' library ready"):
                # The file is run on this machine, whichever it is for.
                for platform in dict.fromkeys((self.target_platform or operators.host(), operators.host())):
                    built = library.find(platform, reporter.say)
                    if folder.is_dir() and platform == (self.target_platform or operators.host()):
                        library.check_place(folder / built.name, built, overwrite=force)


def write(onnx: Path, folder: Path, options: SparseOptions, reporter: Reporter, *, force: bool) -> list[Artifact]:
    """Write what ``options`` ask for, from the dense file ``onnx`` into ``folder``.

    Raises:
        compress.errors.CompressError: as :func:`exporters.sparsify_onnx` and :func:`exporters.store_sparse`.
    """
    import exporters

    made: list[Artifact] = []
    stem = onnx.stem
    if options.sparse:
        with reporter.step("putting in sparse operators") as doing:
            artifact = exporters.sparsify_onnx(
                onnx,
                folder / f"{stem}{SPARSE_SUFFIX}",
                measure=options.measure,
                threads=options.threads,
                batch=options.batch,
                sizes=options.sizes,
                platform=options.target_platform,
                overwrite=force,
                progress=doing,
            )
        made.append(artifact)
        if artifact.metadata["library"]:
            _write_examples(artifact, folder, stem, options.sizes, force=force)
    if options.sparse_storage:
        with reporter.step("storing zeros sparsely"):
            stored = folder / f"{stem}{STORED_SUFFIX}"
            made.append(exporters.store_sparse(onnx, stored, sizes=options.sizes, overwrite=force))
        reporter.say(NO_FASTER)
    return made


def summary(artifact: Artifact) -> list[str]:
    """Return what there is to say about a sparse file, one line each."""
    layers = artifact.metadata["layers"]
    chosen = [layer for layer in layers if layer["chosen"]]
    lines = [f"{artifact.path.name}: {len(chosen)} of {len(layers)} layers sparse"]
    network = artifact.metadata["network"]
    if network and chosen:
        lines[0] += (
            f"; {network['sparse']:.3g} ms against {network['dense']:.3g} ms dense "
            f"({1 / network['ratio']:.2f} times as fast, "
            f"95 % interval {1 / network['high']:.2f} to {1 / network['low']:.2f})"
        )
    elif chosen:
        lines[0] += "; chosen by rule, not measured (--measure does, compress report compares)"
    found = artifact.metadata["library"]
    if found:
        needs = f", needs glibc {found['glibc']} or newer" if found["glibc"] else ""
        lines.append(f"{found['name']}: the operators, for {found['platform']}{needs}; keep it beside the file")
    return [*lines, *artifact.metadata["notes"]]


def _examples(folder: Path, stem: str) -> dict[str, Path]:
    return {language: folder / f"{stem}.sparse.example.{ending}" for language, ending in (("python", "py"), ("c", "c"))}


def _write_examples(artifact: Artifact, folder: Path, stem: str, sizes: Mapping[str, int], *, force: bool) -> None:
    from exporters.sparse import examples

    library = artifact.metadata["library"]["name"]
    paths = _examples(folder, stem)
    write_text(paths["python"], examples.python(artifact.path, library, sizes), overwrite=force)
    write_text(paths["c"], examples.c(artifact.path, library, sizes, paths["c"].name), overwrite=force)
