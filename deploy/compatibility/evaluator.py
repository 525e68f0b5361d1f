"""Compute a network in float64 by ONNX's definition: its reference evaluator, with faster windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from onnx.reference.ops.op_max_pool import MaxPool as OnnxMaxPool

from deploy.compatibility.windows import Array, convolve, geometry, pool_max, pool_mean

Sizes = Sequence[int] | None


class Conv(OpRun):
    """ONNX's Conv, of any rank."""

    def _run(
        self,
        x: Array,
        weight: Array,
        bias: Array | None = None,
        auto_pad: str | None = None,
        dilations: Sizes = None,
        group: int | None = None,
        kernel_shape: Sizes = None,
        pads: Sizes = None,
        strides: Sizes = None,
    ) -> tuple[Array]:
        where = geometry(
            x.shape[2:], weight.shape[2:], strides=strides, dilations=dilations, pads=pads, auto_pad=auto_pad
        )
        return (convolve(x, weight, bias, group or 1, where),)


class MaxPool(OpRun):
    """ONNX's MaxPool; the indices, where asked for, are left to onnx."""

    def _run(
        self,
        x: Array,
        auto_pad: str | None = None,
        ceil_mode: int | None = None,
        dilations: Sizes = None,
        kernel_shape: Sizes = None,
        pads: Sizes = None,
        storage_order: int | None = None,
        strides: Sizes = None,
    ) -> tuple[Array, ...]:
        asked: dict[str, Any] = {"dilations": dilations, "pads": pads, "strides": strides, "auto_pad": auto_pad}
        if len(self.output) > 1:
            rest = asked | {"ceil_mode": ceil_mode, "kernel_shape": kernel_shape, "storage_order": storage_order}
            found: tuple[Array, ...] = OnnxMaxPool(self.onnx_node, self.run_params)._run(x, **rest)
            return found
        return (pool_max(x, geometry(x.shape[2:], kernel_shape or (), ceil=bool(ceil_mode), **asked)),)


class AveragePool(OpRun):
    """ONNX's AveragePool."""

    def _run(
        self,
        x: Array,
        auto_pad: str | None = None,
        ceil_mode: int | None = None,
        count_include_pad: int | None = None,
        dilations: Sizes = None,
        kernel_shape: Sizes = None,
        pads: Sizes = None,
        strides: Sizes = None,
    ) -> tuple[Array]:
        asked: dict[str, Any] = {"dilations": dilations, "pads": pads, "strides": strides, "auto_pad": auto_pad}
        where = geometry(x.shape[2:], kernel_shape or (), ceil=bool(ceil_mode), **asked)
        counted = geometry(x.shape[2:], kernel_shape or (), **asked) if count_include_pad else None
        return (pool_mean(x, where, counted),)


def evaluate(model: Any, feeds: Mapping[str, Array]) -> list[Array]:
    """Return the outputs of ``model``, an ``onnx.ModelProto`` in which every float is a double.

    Raises whatever ONNX's evaluator raises for operators that it does not have.
    """
    evaluator = ReferenceEvaluator(model, new_ops=[Conv, MaxPool, AveragePool])
    wide = {name: array.astype(np.float64) if array.dtype.kind == "f" else array for name, array in feeds.items()}
    return [np.asarray(value) for value in evaluator.run(None, wide)]
