"""Imported once by the server that the networks' processes are forked from. Starts no thread."""

from __future__ import annotations

from importlib import import_module

import models

models.torchvision_shim.ensure()
for name in (
    "torch.onnx",
    "torchvision",
    "timm",
    "onnxscript",
    "compress.axes.verify",
    "compress.loading",
    "compress.pruning",
    "exporters.onnx_export",
):
    import_module(name)
