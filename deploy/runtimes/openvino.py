"""OpenVINO on the CPU; it reads ONNX files itself (https://docs.openvino.ai/2025/api/ie_python_api/api.html)."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from compress.errors import InputError
from deploy.runtimes import onnx_graph
from deploy.runtimes.base import Array, Description, OperatorTiming, Runtime, Session
from deploy.runtimes.means import Cumulative

_DEVICE = "CPU"
_NOISE = re.compile(r"Exception from |Check '|FrontEnd API failed|Summary:|Model wasn't fully converted")
_PART = "/WithoutBiases"
_WARM_UP = 3


@functools.cache
def _core() -> Any:
    """One for the process, never let go: its plug-in lays the stack that signals are handled on.

    Where it is taken down by another thread than began it (garbage is collected wherever it is noticed), that stack
    is gone and the next signal, such as Ctrl-C, ends the process without a word.
    """
    import openvino

    return openvino.Core()


class Openvino(Runtime):
    """ONNX files on the CPU."""

    name: ClassVar[str] = "openvino"

    def why_not(self) -> str | None:
        if importlib.util.find_spec("openvino") is None:
            return "openvino is not installed: pip install openvino"
        try:
            importlib.import_module("openvino")
        except Exception as error:  # noqa: BLE001 - a broken installation raises anything, and that is the reason
            return f"openvino cannot be imported ({_said(error)})"
        devices = _core().available_devices
        return None if _DEVICE in devices else f"its CPU plug-in is missing (it has {', '.join(devices) or 'none'})"

    def prepare(self) -> None:
        importlib.import_module("openvino")

    def load(self, path: Path, *, threads: int) -> Session:
        self.check(path, threads)
        return _Session(path, threads)


class _Session(Session):
    def __init__(self, path: Path, threads: int) -> None:
        import openvino

        self.path = path
        self._threads = threads
        self._version = str(openvino.__version__).partition("-")[0]
        self._file = onnx_graph.read(path)
        self.inputs = self._file.declared
        self._settings = {
            # Its own choice is half precision wherever the processor is faster at it: another network than the file's.
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": str(threads),
            "NUM_STREAMS": "1",
            # Two sessions that are measured in turns would be tied to the same cores, other processes on them or not.
            "ENABLE_CPU_PINNING": "NO",
        }
        self._model = self._compile()
        self._request = self._model.create_infer_request()

    def run(self, feeds: Mapping[str, Array]) -> Sequence[Array]:
        return self._run(self._request, feeds)

    def describe(self) -> Description:
        return Description(Openvino.name, self._version, _DEVICE, self._threads, self._settings)

    def operator_times(self, feeds: Mapping[str, Array], *, runs: int = 20) -> list[OperatorTiming]:
        """As :meth:`Session.operator_times`; means instead of medians.

        OpenVINO keeps one running mean per operator, in whole microseconds. What is returned is the mean over those
        runs that took at most a quarter longer than their median, and is known to about a microsecond.
        """
        if runs < 1:
            raise InputError(f"{runs} runs were asked for", hint="give 1 or more")
        model = self._compile(PERF_COUNT="YES")
        request = model.create_infer_request()
        seconds: list[float] = []
        means: list[dict[str, float]] = []
        kinds: dict[str, str] = {}
        for _ in range(_WARM_UP + runs):
            start = time.perf_counter()
            self._run(request, feeds)
            seconds.append(time.perf_counter() - start)
            executed = [entry for entry in request.profiling_info if entry.status.name == "EXECUTED"]
            kinds.update({entry.node_name: entry.node_type for entry in executed})
            means.append({entry.node_name: entry.real_time.total_seconds() * 1e6 for entry in executed})
        limit = 1.25 * statistics.median(seconds[_WARM_UP:])
        kept = [number for number in range(_WARM_UP, len(seconds)) if seconds[number] <= limit]
        origins = _origins(model)
        return [
            self._operator(name, kind, Cumulative([run.get(name, 0.0) for run in means]).mean(kept) / 1e3, origins)
            for name, kind in kinds.items()
        ]

    def placement(self) -> dict[str, list[str]]:
        return {_DEVICE: [node.name for node in self._file.live_nodes()]}

    def _operator(
        self, name: str, kind: str, milliseconds: float, origins: Mapping[str, Sequence[str]]
    ) -> OperatorTiming:
        called = [name, *origins.get(name, ())]
        # A convolution that cannot take its bias in: the sum keeps the name.
        nodes = self._file.nodes_called([*called, *(one[: -len(_PART)] for one in called if one.endswith(_PART))])
        layers = dict.fromkeys(layer for node in nodes for layer in self._file.layers_of(node))
        return OperatorTiming(name, kind, milliseconds, tuple(node.name for node in nodes), tuple(layers), _DEVICE)

    def _compile(self, **extra: str) -> Any:
        try:
            return _core().compile_model(str(self.path), _DEVICE, self._settings | extra)
        except Exception as error:  # it raises RuntimeError, and TypeError for wrong settings
            raise InputError(f"OpenVINO cannot load it ({_said(error)})", where=str(self.path)) from error

    def _run(self, request: Any, feeds: Mapping[str, Array]) -> Sequence[Array]:
        self.check_feeds(feeds)
        try:
            outputs = request.infer(feeds, share_inputs=True)
        except Exception as error:  # as in load
            raise InputError(f"OpenVINO failed while running it ({_said(error)})", where=str(self.path)) from error
        return [outputs[index] for index in range(len(outputs))]


def _origins(model: Any) -> dict[str, list[str]]:
    """The names in the file that each operator was made from, in OpenVINO's own account."""
    found: dict[str, list[str]] = {}
    for operator in model.get_runtime_model().get_ordered_ops():
        info = operator.get_rt_info()
        if "originalLayersNames" in info:
            value = info["originalLayersNames"]
            found[operator.get_friendly_name()] = str(getattr(value, "value", value)).split(",")
    return found


def _said(error: BaseException) -> str:
    """The lines of an error that say something: OpenVINO's begin with where in its source it was thrown."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not _NOISE.match(line.strip())]
    return " ".join(lines or [type(error).__name__])[:300]
