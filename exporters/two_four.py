"""Which weights of an ONNX graph are in the pattern 2:4, which TensorRT's sparse kernels take.

TensorRT's guide asks it of weights whose input channels are a multiple of four: two zeros or more in every four.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

if TYPE_CHECKING:
    import onnx

GROUP = 4
_MANY = 0.4
"""Share of zeros from which a weight that is not 2:4 is worth a word."""


@dataclass
class TwoFour:
    """The layers with constant weights by name: those in the pattern, those that have many zeros and are not, and those
    that cannot be, with the reason.
    """

    fitting: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    layers: int = 0

    def text(self, *, has_flag: bool, precision: str) -> str | None:
        """Return what there is to say about an engine of this graph in ``precision``; None where there are no zeros."""
        if not self.fitting:
            if not self.others:
                return None
            return (
                f"{len(self.others)} of {self.layers} layers have many zeros, none in the pattern 2:4 (such as "
                f"{self.others[0]}): TensorRT computes them as dense"
            )
        if not has_flag:
            return "its layers in the pattern 2:4 are computed as dense: this TensorRT has no flag for sparse weights"
        share = f"{len(self.fitting)} of {self.layers} layers"
        said = f"{share} are in the pattern 2:4, TensorRT may use sparse kernels for them"
        return said if precision != "fp32" else f"{said}; those compute in fp16, not in fp32"


def examine(proto: onnx.ModelProto) -> TwoFour:
    """Look at the weights of convolutions (along input channels) and matrix products (along the sum)."""
    found = TwoFour()
    for node in ir.from_proto(proto).graph:
        axis = _summed_axis(node)
        if axis is None:
            continue
        array = _weight(node)
        if array is None or array.ndim <= axis:
            continue
        found.layers += 1
        name = node.name or str(node.outputs[0].name)
        if array.shape[axis] % GROUP:
            found.skipped[name] = f"{array.shape[axis]} inputs are no multiple of four"
        elif is_two_four(array, axis):
            found.fitting.append(name)
        elif np.count_nonzero(array) <= (1 - _MANY) * array.size:
            found.others.append(name)
    return found


def is_two_four(array: np.ndarray[Any, np.dtype[Any]], axis: int) -> bool:
    """Return whether each four values in a row along ``axis``, counted from its start, have at most two non-zeros."""
    if not array.size:
        return False
    nonzero = np.moveaxis(array != 0, axis, -1)
    missing = -nonzero.shape[-1] % GROUP
    full = np.pad(nonzero, [(0, 0)] * (nonzero.ndim - 1) + [(0, missing)])
    return bool((full.reshape(*full.shape[:-1], -1, GROUP).sum(axis=-1) <= GROUP // 2).all())


def _summed_axis(node: ir.Node) -> int | None:
    if node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type == "Gemm":
        transposed = node.attributes.get("transB")
        return 1 if transposed is not None and transposed.as_int() else 0
    return {"Conv": 1, "MatMul": 0}.get(node.op_type)


def _weight(node: ir.Node) -> np.ndarray[Any, np.dtype[Any]] | None:
    value = node.inputs[1] if len(node.inputs) > 1 else None
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()
