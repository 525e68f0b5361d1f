"""Compile ONNX files for GPUs that are not here, in processes of their own: TensorRT may crash, and takes its time."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deploy.compatibility import Compiled

COMPILE = "compress.pipeline.ahead_of_time:compile_here"
RUNTIMES = {"TensorRT for RTX": "tensorrt-rtx", "TensorRT": "tensorrt"}


def compile_file(path: Path, capability: str, timeout: float) -> Compiled:
    """Compile ``path`` for a compute capability within ``timeout`` seconds, and throw the engine away."""
    from deploy.compatibility import Compiled
    from deploy.compatibility.asking import ask

    with tempfile.TemporaryDirectory(prefix="compress-engine-") as folder:
        engine = str(Path(folder) / "engine")
        answer = ask(
            COMPILE, {"path": os.path.abspath(path), "capability": capability, "engine": engine}, timeout=timeout
        )
    if answer.value is not None:
        return Compiled(**answer.value | {"unsupported": tuple(answer.value.get("unsupported", ()))})
    assert answer.ended is not None
    reason = f"{answer.reason}; {answer.hint}" if answer.hint else answer.reason
    return Compiled("not tested here" if answer.ended == "unavailable" else answer.ended, reason=reason)


def compile_here(asked: dict[str, Any], _reporter: object) -> dict[str, Any]:
    """Compile one file, in the process of its own; what TensorRT refuses is an answer with its reason."""
    from compress.errors import ExportError
    from exporters import _tensorrt
    from exporters.engines import ParseError, to_tensorrt

    found = _tensorrt.find()
    capability = asked["capability"]
    said: dict[str, Any] = {"compiler": RUNTIMES[found.name], "version": found.version}
    present = _tensorrt.present_capability()
    if not found.ahead and present != capability:
        reason = f"{found.name} compiles for this machine's GPU only, which is of compute capability {present}"
        return said | {"outcome": "not tested here", "reason": reason}
    try:
        to_tensorrt(asked["path"], asked["engine"], capability)  # "fp32" leaves the file's own types as they are
    except ExportError as error:
        reason = f"{error.what}; {error.hint}" if error.hint else error.what
        unparsed = isinstance(error, ParseError)
        operators = list(error.operators) if isinstance(error, ParseError) else []
        return said | {"outcome": "refused", "reason": reason, "unsupported": operators, "parsed": not unparsed}
    return said | {"outcome": "compiles"}
