"""Explain two files in a process of its own: a runtime that crashes or hangs is a message, not the end."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compress.errors import InputError
from deploy.runner import children
from deploy.runner.worker import Reporter
from deploy.timing import Progress, silent
from deploy.why.records import Explanation

_TIMEOUT = 300.0


def explain(
    base: str | os.PathLike[str],
    new: str | os.PathLike[str],
    *,
    runtime: str = "onnxruntime-cpu",
    threads: int = 1,
    batch: int = 1,
    sizes: Mapping[str, int] | None = None,
    seconds: float = 20.0,
    seed: int = 0,
    timeout: float = _TIMEOUT,
    progress: Progress = silent,
) -> Explanation:
    """Return why ``new`` is as fast as it is against ``base``; see :func:`deploy.why.explaining.explain`.

    Args:
        seconds: the measuring time aimed at.
        timeout: seconds without a sign of life after which the runtime is taken to hang.

    Raises:
        InputError: a file is no ONNX file, is damaged or does not run, or the files' inputs differ; or the runtime
            crashed or hung on them.
        UnavailableError: the runtime is not available, or does not tell the times of operators.
    """
    asked = {
        "base": os.fspath(base),
        "new": os.fspath(new),
        "runtime": runtime,
        "threads": threads,
        "batch": batch,
        "sizes": dict(sizes or {}),
        "seconds": seconds,
        "seed": seed,
        "timeout": timeout,
    }
    try:
        answer = children.run("deploy.why.asking:answer", asked, timeout=timeout, tick=progress)
    except children.TaskError as refused:
        raise refused.error from None
    except children.ChildError as error:
        names = f"{Path(base).name}, {Path(new).name}"
        raise InputError(f"{runtime} {error.reason}", where=names, hint=error.hint) from None
    return Explanation.model_validate(answer)


def answer(asked: Mapping[str, Any], reporter: Reporter) -> dict[str, Any]:
    """Explain in this process. Raises as :func:`explain`."""
    from deploy.why.explaining import explain as explain_here

    return explain_here(**asked, progress=reporter.say).model_dump(mode="json")
