"""ONNX Runtime on the CPU, with this package's errors, and inputs to feed it. Knows no torch."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compress import operators
from compress.errors import ExportError

Array = np.ndarray[Any, np.dtype[Any]]
Feed = dict[str, Array]

SEED = 20240229
_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


@dataclass(frozen=True)
class Port:
    """An input or output of a session; ``shape`` holds None for every dynamic axis."""

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]


class Session:
    """A loaded ONNX file on ONNX Runtime's CPU provider, with its default graph optimisations.

    ``without`` leaves some of these out by name; None leaves out all of them. ``library`` holds the sparse operators,
    where it does not lie beside the file. In a session that is ``measured``, idle threads do not spin; one with
    a folder for its ``profile`` notes when each operator ran.

    Raises:
        ExportError: ONNX Runtime cannot load the file; its own reason is in the message.
        InputError: the file has sparse operators, and their library is not beside it.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | bytes,
        *,
        where: str | None = None,
        threads: int = 0,
        without: Sequence[str] | None = (),
        library: Path | None = None,
        measured: bool = False,
        profile: Path | None = None,
    ) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # failures are raised; the printed copy would only repeat them
        options.intra_op_num_threads = threads
        if without is None:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        if measured:
            options.add_session_config_entry("session.force_spinning_stop", "1")
        if profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = os.fspath(profile / "profile")
        if library is not None:
            operators.register_library(options, library)
        elif not isinstance(source, bytes):
            operators.register(options, source)
        self._where = where or ("ONNX model" if isinstance(source, bytes) else Path(source).name)
        try:
            self._session = onnxruntime.InferenceSession(
                source if isinstance(source, bytes) else os.fspath(source),
                options,
                providers=["CPUExecutionProvider"],
                disabled_optimizers=list(without or ()),
            )
        except Exception as error:
            raise ExportError(f"ONNX Runtime cannot load it ({first_line(error)})", where=self._where) from error
        self.version: str = onnxruntime.__version__
        self.inputs = tuple(_port(item) for item in self._session.get_inputs())
        self.outputs = tuple(_port(item) for item in self._session.get_outputs())

    def run(self, feed: Mapping[str, Array]) -> list[Array]:
        """Return the outputs in order. Raises :class:`ExportError` with ONNX Runtime's reason."""
        try:
            return [np.asarray(value) for value in self._session.run(None, dict(feed))]
        except Exception as error:
            raise ExportError(f"ONNX Runtime cannot run it ({first_line(error)})", where=self._where) from error

    def end_profile(self) -> list[dict[str, Any]]:
        """Return what a session with a profile noted, one entry for each operator and run, and stop noting."""
        path = Path(self._session.end_profiling())
        events: list[dict[str, Any]] = json.loads(path.read_text())
        path.unlink()
        return [event for event in events if event.get("cat") == "Node" and event["name"].endswith("_kernel_time")]


def random_feed(ports: Sequence[Port], batch: int, seed: int = SEED) -> Feed:
    """Return random inputs: standard normal for floats (normalised images), 0 or 1 for indices, 0..255 for bytes.

    ``batch`` replaces a dynamic first axis. Raises :class:`ExportError` where another axis is dynamic.
    """
    generator = np.random.default_rng(seed + batch)
    return {port.name: random_array(generator, port.dtype, concrete_shape(port, batch)) for port in ports}


def concrete_shape(port: Port, batch: int) -> tuple[int, ...]:
    """Return the port's shape at a batch size; a fixed first axis stays. Raises :class:`ExportError`."""
    rest = port.shape[1:]
    if any(size is None for size in rest):
        raise ExportError(
            f"input {port.name!r} has a dynamic axis beside the batch: {port.shape}",
            hint="export the network with its height and width fixed",
        )
    sizes = tuple(size for size in rest if size is not None)
    if not port.shape:
        return ()
    return (batch if port.shape[0] is None else port.shape[0], *sizes)


def first_line(error: BaseException) -> str:
    """Return the first line of an error that says something, without trailing stop and without a temporary's path."""
    lines = [line.rpartition(".partial failed:")[2].strip() for line in str(error).splitlines()]
    return next((line.rstrip(".") for line in lines if line), type(error).__name__)


def random_array(generator: np.random.Generator, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """Return one random input, as :func:`random_feed` makes them."""
    if dtype.kind == "f":
        return generator.standard_normal(shape).astype(dtype)
    # Two is the one range that every table of indices has.
    return generator.integers(0, 256 if dtype == np.uint8 else 2, shape).astype(dtype)


def _port(item: Any) -> Port:
    if item.type not in _DTYPES:
        raise ExportError(f"{item.name!r} is of type {item.type}, which cannot be verified here")
    shape = tuple(size if isinstance(size, int) else None for size in item.shape)
    return Port(item.name, shape, np.dtype(_DTYPES[item.type]))
