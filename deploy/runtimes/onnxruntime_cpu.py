"""ONNX Runtime with its CPU execution provider (https://onnxruntime.ai/docs/api/python)."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from compress import operators
from compress.errors import InputError
from deploy.runtimes.base import Array, Description, InputSpec, Runtime, Session

_PROVIDER = "CPUExecutionProvider"
_SETTINGS = {
    "graph optimisation": "all",
    "execution": "sequential",
    # Idle workers of one session would otherwise spin on the cores that the other session is measured on.
    "session.force_spinning_stop": "1",
}


class OnnxRuntimeCpu(Runtime):
    """ONNX files on the CPU."""

    name: ClassVar[str] = "onnxruntime-cpu"

    def why_not(self) -> str | None:
        if importlib.util.find_spec("onnxruntime") is None:
            return "onnxruntime is not installed: pip install onnxruntime"
        return None

    def prepare(self) -> None:
        importlib.import_module("onnxruntime")

    def load(self, path: Path, *, threads: int) -> Session:
        import onnxruntime

        if threads < 1:
            raise InputError(f"{threads} threads were asked for", hint="give 1 or more")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 4  # failures arrive as exceptions; logging them too would say them twice
        options.add_session_config_entry("session.force_spinning_stop", _SETTINGS["session.force_spinning_stop"])
        operators.register(options, path)
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=[_PROVIDER])
        except Exception as error:  # its exception classes share no narrower base
            raise InputError(f"ONNX Runtime cannot load it ({_first_line(error)})", where=str(path)) from error
        return _Session(path, session, threads, onnxruntime.__version__)


class _Session(Session):
    def __init__(self, path: Path, session: Any, threads: int, version: str) -> None:
        self.path = path
        self.inputs = tuple(_spec(argument, path) for argument in session.get_inputs())
        self._session = session
        self._threads = threads
        self._version = version

    def run(self, feeds: Mapping[str, Array]) -> Sequence[Array]:
        try:
            outputs: Sequence[Array] = self._session.run(None, feeds)
        except Exception as error:  # as in load
            raise InputError(
                f"ONNX Runtime failed while running it ({_first_line(error)})", where=str(self.path)
            ) from error
        return outputs

    def describe(self) -> Description:
        return Description(OnnxRuntimeCpu.name, self._version, _PROVIDER, self._threads, _SETTINGS)


def _spec(argument: Any, path: Path) -> InputSpec:
    kind: str = argument.type
    if not (kind.startswith("tensor(") and kind.endswith(")")):
        raise InputError(f"input {argument.name!r} is a {kind}, only tensors can be generated", where=str(path))
    shape = tuple(size if isinstance(size, int) else (size or "") for size in argument.shape)
    return InputSpec(argument.name, kind[len("tensor(") : -1], shape)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."
