"""Run a TensorRT engine on this machine's GPU and check it against its ONNX file in ONNX Runtime.

    python -m exporters.run_engine small.sm86.fp16.engine small.onnx [--json]

Exit codes: 0 the engine agrees; 2 wrong input, or the engine disagrees; 4 no GPU, or no TensorRT that can read it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from compress.errors import CompressError, ExportError, InputError, UnavailableError
from compress.files import sha256_file
from exporters import _tensorrt
from exporters._numerics import relative_error
from exporters._runtime import Array, Feed, Session, random_feed
from exporters.engines import read_record

ALLOWED = {"fp32": 1e-3, "fp16": 0.03}
"""Largest error by precision, relative to the output's largest magnitude: a GPU sums in another order than a CPU."""
_WARM_UP, _TIMED = 20, 100


def run_engine(engine: str | os.PathLike[str], onnx_path: str | os.PathLike[str]) -> dict[str, Any]:
    """Run ``engine`` at its smallest, tuned and largest batch on random inputs and compare with ``onnx_path``.

    Returns:
        JSON types: ``max_error`` (relative to the output's largest magnitude), ``allowed``, ``batches``, the
        GPU's name, and the median latency in milliseconds (GPU time of one execution, transfers not counted) per batch.

    Raises:
        InputError: the engine has no record, or the ONNX file is not the one it was compiled from.
        ExportError: the engine cannot be loaded here, or its outputs differ by more than is allowed.
        UnavailableError: no GPU, no CUDA-capable torch, or not the TensorRT that compiled the engine.
    """
    record = read_record(engine)
    session = Session(onnx_path)
    if sha256_file(onnx_path) != record["onnx_sha256"]:
        raise InputError("is not the file that the engine was compiled from (hashes differ)", where=str(onnx_path))
    executor = _Executor(_tensorrt.named(record["tensorrt"]), os.fspath(engine))
    batches = batches_of(record)
    figures = check(executor.run, session, batches, record["precision"])
    return figures | {
        "gpu": executor.gpu,
        "tensorrt": f"{record['tensorrt']} {record['tensorrt_version']}",
        "median_ms": {str(batch): executor.median_ms(random_feed(session.inputs, batch)) for batch in batches},
    }


def batches_of(record: Mapping[str, Any]) -> list[int]:
    """Return the batch sizes worth running: the ends of the engine's range and the one it is tuned for."""
    shapes: list[list[int]] = next(iter(record["profile"].values()), [])
    return sorted({shape[0] for shape in shapes}) or [1]


def check(
    execute: Callable[[Feed], Sequence[Array]], session: Session, batches: Sequence[int], precision: str
) -> dict[str, Any]:
    """Compare ``execute`` with ONNX Runtime on random inputs at ``batches``; returns the figures.

    Raises:
        ExportError: an output differs by more than ``ALLOWED[precision]`` of its largest magnitude.
    """
    errors = {port.name: 0.0 for port in session.outputs}
    for batch in batches:
        feed = random_feed(session.inputs, batch)
        for port, got, expected in zip(session.outputs, execute(feed), session.run(feed), strict=True):
            errors[port.name] = max(errors[port.name], relative_error(got, expected))
    name, worst = max(errors.items(), key=lambda item: item[1])
    allowed = ALLOWED[precision]
    if worst > allowed:
        raise ExportError(
            f"the engine's output {name!r} is off by {worst:.3g} of its largest magnitude, {allowed:.3g} is allowed in "
            f"{precision}"
        )
    return {"max_error": worst, "allowed": allowed, "batches": list(batches), "outputs": errors, "status": "executed"}


class _Executor:
    """An engine with a context and a stream; memory comes from torch's CUDA allocator."""

    def __init__(self, tensorrt: _tensorrt.TensorRT, path: str) -> None:
        import torch

        if not torch.cuda.is_available():
            raise UnavailableError("this torch cannot use the GPU", hint="install a torch build with CUDA")
        self._torch = torch
        self._api = tensorrt.api
        self.gpu = torch.cuda.get_device_name()
        logger = tensorrt.logger()
        self._runtime = self._api.Runtime(logger)
        with open(path, "rb") as stream:
            self._engine = self._runtime.deserialize_cuda_engine(stream.read())
        if self._engine is None:
            raise ExportError(f"{tensorrt.name} cannot load it: {' / '.join(logger.errors)}", where=path)
        self._context = self._engine.create_execution_context()
        self._stream = torch.cuda.Stream()

    def run(self, feed: Feed) -> list[Array]:
        """Return the outputs, in the engine's order."""
        bound = self._bind(feed)
        self._execute()
        self._stream.synchronize()
        return [tensor.cpu().numpy() for name, tensor in bound.items() if name not in feed]

    def median_ms(self, feed: Feed) -> float:
        """Return the median GPU time of one execution in milliseconds."""
        bound = self._bind(feed)
        times = []
        for turn in range(_WARM_UP + _TIMED):
            start, end = (self._torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record(self._stream)
            self._execute()
            end.record(self._stream)
            end.synchronize()
            if turn >= _WARM_UP:
                times.append(float(start.elapsed_time(end)))
        del bound  # alive until here: the engine writes to it
        return statistics.median(times)

    def _bind(self, feed: Feed) -> dict[str, Any]:
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        bound: dict[str, Any] = {}
        for name in (name for name in names if name in feed):
            bound[name] = self._torch.from_numpy(np.ascontiguousarray(feed[name])).cuda()
            self._context.set_input_shape(name, tuple(feed[name].shape))
        for name in (name for name in names if name not in feed):
            dtype = self._torch.from_numpy(np.empty(0, self._api.nptype(self._engine.get_tensor_dtype(name)))).dtype
            bound[name] = self._torch.empty(tuple(self._context.get_tensor_shape(name)), dtype=dtype, device="cuda")
        for name, tensor in bound.items():
            self._context.set_tensor_address(name, tensor.data_ptr())
        # The copies above ran on torch's stream, the engine runs on its own.
        self._torch.cuda.synchronize()
        return bound

    def _execute(self) -> None:
        if not self._context.execute_async_v3(self._stream.cuda_stream):
            raise ExportError("the engine failed to execute on this GPU")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m exporters.run_engine", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("engine", metavar="ENGINE", help="an engine this tool compiled, its .json beside it")
    parser.add_argument("onnx", metavar="ONNX", help="the ONNX file it was compiled from")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args(arguments)
    try:
        figures = run_engine(options.engine, options.onnx)
    except CompressError as error:
        sys.stderr.write(f"Error: {error}\n")
        return error.exit_code
    sys.stdout.write((json.dumps(figures, indent=2) if options.json else _sentence(figures)) + "\n")
    return 0


def _sentence(figures: Mapping[str, Any]) -> str:
    times = ", ".join(f"{time:.3f} ms at batch {batch}" for batch, time in figures["median_ms"].items())
    return (
        f"executed on {figures['gpu']} with {figures['tensorrt']}: largest error {figures['max_error']:.3g} of the "
        f"output's scale ({figures['allowed']:.3g} allowed); median {times}"
    )


if __name__ == "__main__":
    sys.exit(main())
