"""The files that are timed: a network dense, with zeros, sparse, and quantised to eight bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

NETWORKS = {
    "mobilenetv1": "models:mobilenetv1",
    "mobilenetv2": "torchvision:mobilenet_v2",
    "resnet18": "torchvision:resnet18",
    "resnet50": "torchvision:resnet50",
    "efficientnet_b0": "torchvision:efficientnet_b0",
}
OLD_OPSET = 13
CALIBRATION = 8
"""Random pictures for batch-norm statistics, and for the quantiser's ranges."""


class Files:
    """The files of one network in a folder; each is made when it is first asked for."""

    def __init__(self, network: str, folder: Path) -> None:
        self.network = network
        self.folder = folder
        self._sparse: dict[tuple[str, float, int], tuple[Path, dict[str, Any]]] = {}
        self.folder.mkdir(parents=True, exist_ok=True)

    def dense(self) -> Path:
        """Random weights, calibrated statistics, exported with batch norm folded."""
        path = self.folder / f"{self.network}.onnx"
        return path if path.exists() else _export(_network(self.network), path)

    def zeros(self, pattern: str, sparsity: float) -> Path:
        """The same with zeros of a pattern in the layers that are masked by default; still dense operators."""
        path = self.folder / f"{self.network}.{pattern}.{sparsity:g}.onnx"
        return path if path.exists() else _export(self._with_zeros(pattern, sparsity), path)

    def old(self, pattern: str, sparsity: float) -> Path:
        """The same as DeepSparse reads it: operators of 2021, by torch's former exporter."""
        path = self.folder / f"{self.network}.{pattern}.{sparsity:g}.opset{OLD_OPSET}.onnx"
        if not path.exists():
            module, x = self._with_zeros(pattern, sparsity), torch.zeros(1, 3, 224, 224)
            torch.onnx.export(module, (x,), path, opset_version=OLD_OPSET, dynamo=False, input_names=["x"])
        return path

    def _with_zeros(self, pattern: str, sparsity: float) -> nn.Module:
        import compress

        module = _network(self.network)
        program = compress.capture(module, (torch.zeros(2, 3, 224, 224),))
        masks = compress.sparsify(program, sparsity, pattern=pattern).masks
        with torch.no_grad():
            for name, mask in masks.items():
                module.get_parameter(name).mul_(mask.kept)
        return _calibrated(module)

    def sparse(self, pattern: str, sparsity: float, *, batch: int) -> tuple[Path, dict[str, Any]]:
        """What the pass makes of it by its rule, for any number of threads, and its report; once in each run."""
        import exporters

        wanted = pattern, sparsity, batch
        if wanted not in self._sparse:
            folder = self.folder / f"sparse.b{batch}"
            folder.mkdir(exist_ok=True)
            path = folder / f"{self.network}.{pattern}.{sparsity:g}.onnx"
            made = exporters.sparsify_onnx(self.zeros(pattern, sparsity), path, batch=batch, overwrite=True)
            self._sparse[wanted] = path, made.metadata
        return self._sparse[wanted]

    def int8(self) -> Path:
        """ONNX Runtime's own static quantiser, QDQ, unsigned activations, signed weights for each channel."""
        path = self.folder / f"{self.network}.int8.onnx"
        if path.exists():
            return path
        import onnx
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        name = onnx.load(self.dense(), load_external_data=False).graph.input[0].name

        class Pictures(CalibrationDataReader):  # type: ignore[misc]
            def __init__(self) -> None:
                self.left = [_pictures(CALIBRATION)[i : i + 1] for i in range(CALIBRATION)]

            def get_next(self) -> dict[str, Any] | None:
                return {name: self.left.pop()} if self.left else None

        prepared = self.folder / f"{self.network}.prepared.onnx"
        quant_pre_process(str(self.dense()), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(path),
            Pictures(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        prepared.unlink()
        return path


def _pictures(count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(0).standard_normal((count, 3, 224, 224)).astype(np.float32)


def _network(network: str) -> nn.Module:
    import models

    torch.manual_seed(0)
    return _calibrated(models.create(NETWORKS[network]))


def _calibrated(module: nn.Module) -> nn.Module:
    """Statistics of random pictures, without which the signals of random weights die out or overflow."""
    norms = [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    module.train()
    with torch.no_grad():
        module(torch.from_numpy(_pictures(CALIBRATION)))
    for norm in norms:
        norm.momentum = 0.1
    return module.eval()


def _export(module: nn.Module, path: Path) -> Path:
    import compress
    import exporters

    program = compress.capture(module, (torch.zeros(2, 3, 224, 224),))
    exporters.to_onnx(program, path, overwrite=True)
    return path
