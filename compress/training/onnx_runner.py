"""An ONNX file as a function of tensors, run by ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from compress import operators
from compress.data.source import DataSource
from compress.errors import DataError, InputError
from compress.training.losses import Outputs

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


class OnnxRunner:
    """Takes the same inputs as the network and returns its outputs as float32 (or integer) tensors."""

    def __init__(self, path: Path, threads: int | None = None) -> None:
        """Raises:
        InputError: the file is missing or ONNX Runtime cannot load it.
        """
        import onnxruntime

        if not path.is_file():
            raise InputError("no such file", where=str(path))
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        operators.register(options, path)
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            said = " ".join(str(error).split())[:200]
            raise InputError(f"ONNX Runtime cannot load it: {said}", where=str(path)) from error
        self._path = path
        self._inputs = self._session.get_inputs()
        first = self._inputs[0].shape[0] if self._inputs and self._inputs[0].shape else None
        self.batch_size = first if isinstance(first, int) else None
        """The batch size that the file insists on, or None."""

    def check(self, data: DataSource, *, classes: bool = True) -> None:
        """Args:
            classes: whether the first output must have one value per class, as cross entropy wants it.

        Raises:
            DataError: ``data``'s samples or classes do not fit the file's inputs and first output.
        """
        self._check_inputs(data)
        shape = self._session.get_outputs()[0].shape
        width = shape[1] if len(shape) > 1 else None
        if classes and data.classes is not None and isinstance(width, int) and width != len(data.classes):
            raise DataError(
                f"has {len(data.classes)} classes, {self._path.name} has {width} outputs",
                where=data.ref,
                hint="use the data the network was made for, or a network with as many outputs",
            )

    def _check_inputs(self, data: DataSource) -> None:
        samples = data.samples(1)
        if len(samples) != len(self._inputs):
            raise DataError(f"gives {len(samples)} inputs, {self._path.name} takes {len(self._inputs)}", where=data.ref)
        for value, spec in zip(samples, self._inputs, strict=True):
            wanted = spec.shape[1:]
            given = list(value.shape[1:])
            fits = len(wanted) == len(given) and all(
                not isinstance(size, int) or size == have for size, have in zip(wanted, given, strict=True)
            )
            if not fits:
                raise DataError(
                    f"gives inputs of {_by(given)}, {self._path.name} takes {_by(wanted)}",
                    where=data.ref,
                )

    def __call__(self, *inputs: torch.Tensor) -> Outputs:
        count = len(inputs[0])
        arrays: list[npt.NDArray[Any]] = [
            value.numpy().astype(_TYPES.get(spec.type, np.float32))
            for value, spec in zip(inputs, self._inputs, strict=True)
        ]
        if self.batch_size is not None and count < self.batch_size:
            # The last batch is filled up by repeating its last sample; the surplus results are dropped.
            arrays = [np.concatenate([a, np.repeat(a[-1:], self.batch_size - count, axis=0)]) for a in arrays]
        feed = {spec.name: array for spec, array in zip(self._inputs, arrays, strict=True)}
        found = tuple(_tensor(value)[:count] for value in self._session.run(None, feed))
        return found[0] if len(found) == 1 else found


def _by(sizes: list[Any]) -> str:
    return "x".join(map(str, sizes))


def _tensor(value: npt.NDArray[Any]) -> torch.Tensor:
    tensor = torch.from_numpy(np.array(value))
    return tensor.float() if tensor.is_floating_point() else tensor
