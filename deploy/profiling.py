"""Profile deployment files: latency, throughput, memory, load time, size; several files interleaved."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import overload

from compress.errors import CompressError, InputError, UnavailableError
from deploy.measuring import AnyPath, labels, measure
from deploy.records import Failure, Profile
from deploy.timing import Progress, silent


@overload
def profile(  # type: ignore[overload-overlap]  # a str is a sequence of str, and is meant as one path
    paths: AnyPath,
    *,
    runtime: str = ...,
    threads: int = ...,
    batch: int = ...,
    sizes: Mapping[str, int] | None = ...,
    seconds: float = ...,
    seed: int = ...,
    progress: Progress = ...,
) -> Profile: ...
@overload
def profile(
    paths: Sequence[AnyPath],
    *,
    runtime: str = ...,
    threads: int = ...,
    batch: int = ...,
    sizes: Mapping[str, int] | None = ...,
    seconds: float = ...,
    seed: int = ...,
    progress: Progress = ...,
) -> list[Profile]: ...


def profile(
    paths: AnyPath | Sequence[AnyPath],
    *,
    runtime: str = "onnxruntime-cpu",
    threads: int = 1,
    batch: int = 1,
    sizes: Mapping[str, int] | None = None,
    seconds: float = 3.0,
    seed: int = 0,
    progress: Progress = silent,
) -> Profile | list[Profile]:
    """Measure one file, or several interleaved in random order so that the machine's moods hit all alike.

    Args:
        runtime: a name from :func:`deploy.runtimes.names`.
        threads: threads within an operator.
        batch: size of the dynamic first dimension of every input.
        sizes: sizes of other dynamic dimensions, by name or ``"input:axis"``.
        seconds: measuring time per file, after a warm-up that takes at most as long again.
        seed: draws inputs and the order of measurement.
        progress: called with the share done (0 to 1) and what is being done.

    Returns:
        A profile for a single path, a list in the order given for a list of paths. Times in milliseconds.

    Raises:
        InputError: a file is missing, damaged, crashes or does not run; a size is missing; an argument is wrong.
        UnavailableError: the runtime is not available on this machine.
    """
    files = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not files:
        return []
    measured = measure(
        files,
        runtimes=[runtime],
        threads=[threads],
        batches=[batch],
        sizes=sizes,
        seconds=seconds,
        seed=seed,
        keep_going=False,
        progress=progress,
    )
    if measured.failures:
        raise _error(measured.failures[0], files)
    return measured.profiles[0] if isinstance(paths, str | os.PathLike) else measured.profiles


def _error(failure: Failure, files: Sequence[AnyPath]) -> CompressError:
    if failure.kind == "unavailable":
        return UnavailableError(failure.reason, hint=failure.hint)
    where = os.fspath(files[labels(files).index(failure.file)])
    return InputError(failure.reason, where=where, hint=failure.hint)
