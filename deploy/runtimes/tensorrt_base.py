"""What TensorRT and TensorRT for RTX have in common: one interface, engines that only the own kind can read.

https://docs.nvidia.com/deeplearning/tensorrt/latest/_static/python-api
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import statistics
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from compress.errors import InputError, UnavailableError
from deploy.runtimes import cuda
from deploy.runtimes.base import DTYPES, Array, Description, InputSpec, OperatorTiming, Runtime, Session, first_line

_WARM_UP = 3
_WORDS = {numpy: onnx for onnx, numpy in DTYPES.items()}
_WRAPPED = re.compile(r"^(?:PWN|\w+)\((.*)\)$")
_REGION = re.compile(r"^\{ForeignNode\[(.*)\.\.\.(.*)\]\}$")
_MOVES = ("Reformatting CopyNode", "[HostToDeviceCopy", "[DeviceToHostCopy", "[ShapeHostToDeviceCopy")


class TensorrtBase(Runtime):
    """Engines on the first NVIDIA GPU; inputs and outputs in host memory."""

    suffixes: ClassVar[tuple[str, ...]] = (".engine", ".plan")
    provider: ClassVar[str]
    modules: ClassVar[tuple[str, ...]]
    """The names that its Python module goes by."""
    package: ClassVar[str]
    """What to install for it."""

    def why_not(self) -> str | None:
        # Importing it takes a while, and without a GPU it is of no use.
        if any(importlib.util.find_spec(module) for module in self.modules) and cuda.why_no_gpu() is not None:
            return cuda.why_no_gpu()
        try:
            self.api()
        except UnavailableError as error:
            return f"{error.what}: {error.hint}"
        return cuda.why_no_gpu()

    def prepare(self) -> None:
        self.api()

    def load(self, path: Path, *, threads: int) -> Session:
        self.check(path, threads)
        reason = self.why_not()
        if reason is not None:
            raise UnavailableError(reason)
        return _Session(self, self.api(), path, threads)

    def api(self) -> Any:
        """Return the Python module. Raises :class:`UnavailableError` where there is none that works."""
        faults = []
        for module in self.modules:
            try:
                return importlib.import_module(module)
            except ModuleNotFoundError as error:
                if error.name != module:
                    faults.append(f"{module} cannot be imported ({first_line(error)})")
            except Exception as error:  # noqa: BLE001 - a binding whose library is missing or too new raises anything
                faults.append(f"{module} cannot be imported ({first_line(error)})")
        what = "; ".join(faults) or f"{self.modules[-1]} is not installed"
        raise UnavailableError(what, hint=f"pip install {self.package}")


class _Session(Session):
    def __init__(self, runtime: TensorrtBase, api: Any, path: Path, threads: int) -> None:
        self.path = path
        self._runtime, self._api, self._threads = runtime, api, threads
        self._stream = cuda.Stream()
        weakref.finalize(self, self._stream.close).atexit = False  # the end of the process frees all
        self._logger = _quiet(api)
        self._maker = api.Runtime(self._logger)
        data = path.read_bytes()
        self._engine = self._maker.deserialize_cuda_engine(data)
        if self._engine is None:
            raise InputError(f"{runtime.name} cannot load it ({self._said()})", where=str(path))
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        inputs = [name for name in names if self._engine.get_tensor_mode(name) == api.TensorIOMode.INPUT]
        self._outputs = [name for name in names if name not in inputs]
        self.inputs = tuple(InputSpec(name, self._type(name), self._shape(name)) for name in inputs)
        self._context = self._make_context()

    def run(self, feeds: Mapping[str, Array]) -> Sequence[Array]:
        return self._run(self._context, feeds)

    def describe(self) -> Description:
        settings = {"gpu": cuda.gpu() or "unknown", "transfers": "counted", "optimisation profile": "0"}
        runtime = self._runtime
        return Description(runtime.name, str(self._api.__version__), runtime.provider, self._threads, settings)

    def operator_times(self, feeds: Mapping[str, Array], *, runs: int = 20) -> list[OperatorTiming]:
        """As :meth:`Session.operator_times`: the layers of the engine, in GPU time; transfers are not in it."""
        if runs < 1:
            raise InputError(f"{runs} runs were asked for", hint="give 1 or more")
        profiler = _profiler(self._api)
        context = self._make_context()
        context.profiler = profiler
        for number in range(_WARM_UP + runs):
            if number == _WARM_UP:
                profiler.times.clear()
            self._run(context, feeds)
        return [
            OperatorTiming(
                name,
                "Reformat" if name.startswith(_MOVES) else "layer",
                statistics.median(times),
                nodes_in(name),
                layers_in(name),
                self._runtime.provider,
            )
            for name, times in profiler.times.items()
        ]

    def _run(self, context: Any, feeds: Mapping[str, Array]) -> list[Array]:
        self.check_feeds(feeds)
        try:
            return self._execute(context, feeds)
        except InputError as error:
            if error.where is not None:
                raise
            raise InputError(error.what, where=str(self.path)) from error

    def _execute(self, context: Any, feeds: Mapping[str, Array]) -> list[Array]:
        stream = self._stream
        stream.enter()
        held = [np.ascontiguousarray(feeds[spec.name]) for spec in self.inputs]
        for spec, array in zip(self.inputs, held):  # noqa: B905 - Python 3.9
            if not context.set_input_shape(spec.name, tuple(array.shape)):
                low, _, high = (list(shape) for shape in self._engine.get_tensor_profile_shape(spec.name, 0))
                raise InputError(
                    f"input {spec.name!r} has shape {list(array.shape)}, the engine takes {low} to {high}",
                    where=str(self.path),
                )
            context.set_tensor_address(spec.name, stream.memory(spec.name, array.nbytes))
            stream.copy_in(spec.name, array)
        outputs = [self._output(context, name) for name in self._outputs]
        for name, array in zip(self._outputs, outputs):  # noqa: B905 - Python 3.9
            context.set_tensor_address(name, stream.memory(name, array.nbytes))
        if not context.execute_async_v3(stream.handle):
            raise InputError(f"{self._runtime.name} failed while running it ({self._said()})", where=str(self.path))
        for name, array in zip(self._outputs, outputs):  # noqa: B905 - Python 3.9
            stream.copy_out(name, array)
        stream.wait()
        return outputs

    def _output(self, context: Any, name: str) -> Array:
        shape = tuple(context.get_tensor_shape(name))
        if any(size < 0 for size in shape):
            raise InputError(f"the size of output {name!r} depends on the data, not supported", where=str(self.path))
        return np.empty(shape, self._api.nptype(self._engine.get_tensor_dtype(name)))

    def _make_context(self) -> Any:
        context = self._engine.create_execution_context()
        if context is None:
            raise InputError(f"{self._runtime.name} cannot start it ({self._said()})", where=str(self.path))
        return context

    def _type(self, name: str) -> str:
        try:
            numpy_name = np.dtype(self._api.nptype(self._engine.get_tensor_dtype(name))).name
        except TypeError:  # a type that numpy has not
            return str(self._engine.get_tensor_dtype(name)).rpartition(".")[2].lower()
        return _WORDS.get(numpy_name, numpy_name)

    def _shape(self, name: str) -> tuple[int | str, ...]:
        return tuple(size if size >= 0 else "" for size in self._engine.get_tensor_shape(name))

    def _said(self) -> str:
        said = " / ".join(self._logger.errors)[:300] or "it gives no reason"
        self._logger.errors.clear()
        return said


def nodes_in(layer: str) -> tuple[str, ...]:
    """Return the names of the network's layers that an engine's layer was fused from, out of its name.

    TensorRT joins them with `` + `` and wraps what it fuses in another way: ``conv1/Conv + PWN(Relu)``. Of a region
    that it compiled as a whole, ``{ForeignNode[first...last]}``, it names the first and the last only.
    """
    if layer.startswith(_MOVES):
        return ()
    found: list[str] = []
    for part in _split(layer):
        region = _REGION.match(part)
        if region:
            found += region.groups()
            continue
        wrapped = _WRAPPED.match(part)
        found += nodes_in(wrapped[1]) if wrapped else [part]
    return tuple(dict.fromkeys(found))


def layers_in(layer: str) -> tuple[str, ...]:
    """Return the checkpoint's layers in an engine's layer: nodes of our exports are named ``layer/Operator``."""
    owners = [name.rpartition("/")[0] for name in nodes_in(layer)]
    return tuple(dict.fromkeys(owner for owner in owners if owner))


def _split(text: str) -> list[str]:
    """Split at `` + `` and ``, `` outside of brackets."""
    parts, depth, start, position = [], 0, 0, 0
    while position < len(text):
        depth += (text[position] in "([{") - (text[position] in ")]}")
        step = 3 if text[position : position + 3] == " + " else 2 if text[position : position + 2] == ", " else 0
        if step and depth == 0:
            parts.append(text[start:position])
            start = position + step
        position += step or 1
    return [part.strip() for part in [*parts, text[start:]] if part.strip()]


def _quiet(api: Any) -> Any:
    """A logger that keeps errors and prints nothing."""

    class Quiet(api.ILogger):
        def __init__(self) -> None:
            api.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (api.ILogger.ERROR, api.ILogger.INTERNAL_ERROR):
                self.errors.append(message)

    return Quiet()


def _profiler(api: Any) -> Any:
    """A profiler that keeps the milliseconds of every layer, run by run."""

    class Times(api.IProfiler):
        def __init__(self) -> None:
            api.IProfiler.__init__(self)
            self.times: dict[str, list[float]] = {}

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.times.setdefault(layer_name, []).append(ms)

    return Times()
