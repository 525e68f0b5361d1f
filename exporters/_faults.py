"""Faults of exporter and runtime: known ones mended or not met, new ones of ONNX Runtime traced to their name."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir

OPTIMIZERS: dict[str, tuple[str, ...]] = {
    "Pad fusion": ("Pad_Fusion",),
    "Conv-BatchNormalization fusion": ("ConvBNFusion",),
    "Conv-Mul fusion": ("ConvMulFusion",),
    "Conv-Add fusion": ("ConvAddFusion",),
    "Conv activation fusion": ("ConvActivationFusion", "ConvAddActivationFusion", "NchwcTransformer"),
    "MatMul-Add fusion": ("MatMulAddFusion",),
    "MatMul-BatchNormalization fusion": ("MatMul_BatchNormalization_Fusion",),
    "MatMul scale and transpose fusion": ("MatMulScaleFusion", "MatmulTransposeFusion"),
    "Gemm fusions": ("GemmActivationFusion", "GemmSumFusion", "GemmTransposeFusion"),
    "attention fusion": ("AttentionFusion",),
    "LayerNormalization fusion": ("LayerNormFusionL1", "LayerNormFusionL2", "SimplifiedLayerNormFusion"),
    "skip LayerNormalization fusion": ("SkipLayerNormFusion", "BiasSkipLayerNormFusion"),
    "GELU fusions": ("GeluFusionL1", "GeluFusionL2", "BiasGeluFusion", "FastGeluFusion", "QuickGeluFusion"),
    "Reshape fusion": ("ReshapeFusion",),
    "Transpose optimizer": ("TransposeOptimizer",),
    "Concat-Slice and Slice eliminations": ("ConcatSliceElimination", "EliminateSlice"),
    "common subexpression elimination": ("CommonSubexpressionElimination",),
    "constant folding": ("ConstantFolding",),
}
"""Graph optimisations of ONNX Runtime 1.31 by what they do, and the names by which a session leaves them out."""


def spell_out_pad_axes(model: ir.Model) -> None:
    """Give every zero padding before a max pooling its ``axes`` input, changing nothing in what it means.

    ONNX Runtime fuses such a padding into the pooling, whose own padding is minus infinity: where a border of the value
    is negative, the maximum is then negative instead of 0 (Pad_Fusion; seen in 1.31.1 on HGNetV2, no longer in 1.32.0).
    It leaves paddings alone that name their axes.
    """
    for node in list(model.graph):
        pools = [user for user, _ in node.outputs[0].uses() if user.op_type == "MaxPool"]
        shape = node.outputs[0].shape
        if node.op_type != "Pad" or not pools or shape is None or len(node.inputs) > 3:
            continue
        axes = ir.tensor(np.arange(len(shape), dtype=np.int64))
        value = ir.Value(name=f"{node.outputs[0].name}_axes", const_value=axes, type=ir.TensorType(axes.dtype))
        value.shape = ir.Shape([len(shape)])
        model.graph.register_initializer(value)
        node.resize_inputs(4)
        node.replace_input_with(3, value)


def keep_lost_constants(model: ir.Model) -> None:
    """Register constants that nodes read but the graph does not hold.

    The exporter fuses maximum and minimum with constant bounds to a Clip and names the bounds after what is clipped:
    of two Clips of the same value one loses its bounds.
    """
    graph = model.graph
    taken = {value.name for node in graph.all_nodes() for value in node.outputs}
    taken |= {*graph.initializers, *(value.name for value in graph.inputs)}
    for value in [value for node in graph for value in node.inputs if value is not None]:
        held = value.is_initializer() or value.is_graph_input() or value.producer() is not None
        if held or value.const_value is None:
            continue
        names = (f"{value.name}{end}" for end in itertools.chain([""], (f"_{number}" for number in itertools.count(2))))
        value.name = next(name for name in names if name not in taken)
        taken.add(value.name)
        graph.register_initializer(value)


def faulty_optimizers(path: Path, is_equal: Callable[[Path, Sequence[str] | None], bool]) -> str | None:
    """Return which of ONNX Runtime's optimisations changes what the file computes, None where the file itself is wrong.

    Args:
        is_equal: runs the file with the given optimisations left out (all of them for None) and says whether it
            computes what it should.
    """
    if not is_equal(path, None):
        return None
    for what, names in OPTIMIZERS.items():
        if is_equal(path, names):
            return f"{what} ({', '.join(names)})"
    return "a graph optimisation that could not be told from the others"
