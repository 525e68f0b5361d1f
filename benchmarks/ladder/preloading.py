"""Imported once by the server that the networks' processes are forked from. Starts no thread."""

from __future__ import annotations

import models

models.torchvision_shim.ensure()

import onnxscript  # noqa: E402, F401
import timm  # noqa: E402, F401
import torch  # noqa: E402, F401
import torch.onnx  # noqa: E402, F401
import torchvision  # noqa: E402, F401

import compress.axes.verify  # noqa: E402, F401
import compress.pruning  # noqa: E402, F401
import exporters.onnx_export  # noqa: E402, F401
