"""Pairs of small ONNX models that compute the same: one dense, one with the sparse operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from compress.operators import DOMAIN
from exporters._runtime import Array
from exporters.sparse import library, storage

PADS = ("pad_top", "pad_left", "pad_bottom", "pad_right")


@dataclass
class Case:
    """One layer with all that an operator may be asked for, and an input for it."""

    weight: Array  # (features, channels / group, height, width), or (features, columns)
    x: tuple[int, ...]
    block: int = 1
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    group: int = 1
    bias: Array | None = None
    residual: tuple[int, ...] | None = None
    bounds: dict[str, float] = field(default_factory=dict)

    @property
    def is_convolution(self) -> bool:
        return self.weight.ndim == 4

    def constants(self) -> dict[str, Array]:
        packed = storage.pack(self.weight.reshape(len(self.weight), -1), self.block)
        return {"values": packed.values, "mask": packed.mask} | ({} if self.bias is None else {"bias": self.bias})

    def attributes(self) -> dict[str, Any]:
        features, channels, *kernel = self.weight.shape
        if not self.is_convolution:
            return {"features": features, "columns": channels, "block": self.block, **self.bounds}
        names = ("stride_h", "stride_w", "dilation_h", "dilation_w", *PADS)
        sizes = dict(zip(names, (*self.strides, *self.dilations, *self.pads), strict=True))
        shape = {"channels": channels * self.group, "features": features, "group": self.group}
        kernels = {"kernel_h": kernel[0], "kernel_w": kernel[1]}
        return {**shape, **kernels, **sizes, "block": self.block, **self.bounds}

    def sparse(self, **changes: Any) -> bytes:
        """The model with the sparse operator; ``changes`` of attributes, None to leave one out."""
        attributes = {name: value for name, value in (self.attributes() | changes).items() if value is not None}
        constants = self.constants()
        inputs = ["X", "values", "mask", "bias" if "bias" in constants else "", "R" if self.residual else ""]
        while not inputs[-1]:
            inputs.pop()
        operator = "SparseConv" if self.is_convolution else "SparseMatMul"
        node = helper.make_node(operator, inputs, ["Y"], domain=DOMAIN, **attributes)
        return self.model([node], constants)

    def dense(self) -> bytes:
        """The model with ONNX's own operators."""
        constants: dict[str, Array] = {"W": self.weight if self.is_convolution else np.ascontiguousarray(self.weight.T)}
        if self.is_convolution:
            inputs = ["X", "W"]
            if self.bias is not None:
                constants["bias"] = self.bias
                inputs.append("bias")
            shape: dict[str, Any] = {
                "strides": self.strides,
                "dilations": self.dilations,
                "pads": self.pads,
                "group": self.group,
            }
            nodes = [helper.make_node("Conv", inputs, ["0"], **shape)]
        else:
            nodes = [helper.make_node("MatMul", ["X", "W"], ["0"])]
            if self.bias is not None:
                constants["bias"] = self.bias
                nodes.append(helper.make_node("Add", ["0", "bias"], ["1"]))
        if self.residual:
            nodes.append(helper.make_node("Add", [nodes[-1].output[0], "R"], ["2"]))
        low, high = (self.bounds.get(name, default) for name, default in (("low", -np.inf), ("high", np.inf)))
        constants |= {"low": np.array(low, np.float32), "high": np.array(high, np.float32)}
        nodes.append(helper.make_node("Clip", [nodes[-1].output[0], "low", "high"], ["Y"]))
        return self.model(nodes, constants)

    def model(self, nodes: Sequence[onnx.NodeProto], constants: Mapping[str, Array]) -> bytes:
        inputs = {"X": self.x} | ({"R": self.residual} if self.residual else {})
        return model(nodes, constants, inputs).SerializeToString()

    def feed(self, seed: int = 0) -> dict[str, Array]:
        generator = np.random.default_rng(seed)
        shapes = {"X": self.x} | ({"R": self.residual} if self.residual else {})
        return {name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def model(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, Array],
    inputs: Mapping[str, Sequence[int | str]],
    output: str = "Y",
) -> onnx.ModelProto:
    """Return a model with float inputs of these shapes and the operators' domain imported."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    domains = [helper.make_opsetid("", 17)]
    if any(node.domain == DOMAIN for node in nodes):
        domains.append(helper.make_opsetid(DOMAIN, 1))
    return helper.make_model(graph, opset_imports=domains, ir_version=8)


def session(data: bytes, threads: int = 1) -> Any:
    """Return an ONNX Runtime session of its own making, with the library registered."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    options.register_custom_ops_library(str(library.find()))
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def pruned(generator: np.random.Generator, shape: tuple[int, ...], density: float, block: int) -> Array:
    """Return a random weight that has about ``density`` non-zeros in blocks of ``block`` rows."""
    rows, columns = shape[0], int(np.prod(shape[1:]))
    kept = np.repeat(generator.random((-(-rows // block), columns)) < density, block, axis=0)[:rows]
    return (generator.standard_normal((rows, columns)) * kept).reshape(shape).astype(np.float32)


def random_case(generator: np.random.Generator) -> Case:
    """Return a case of random shape; its output may be empty."""
    block = int(generator.choice([1, 2, 4]))
    density = float(generator.choice([0, 0.05, 0.2, 0.5, 1]))
    if generator.random() < 0.3:
        return _random_product(generator, block, density)
    group = int(generator.choice([1, 1, 1, 2, 3]))
    features = int(generator.integers(1, 20)) * block * group if group > 1 else int(generator.integers(1, 70))
    channels = int(generator.integers(1, 40))
    kernel = (1, 1) if generator.random() < 0.4 else tuple(int(size) for size in generator.integers(1, 5, 2))
    strides, dilations = (
        tuple(int(size) for size in generator.integers(1, 4, 2)) if generator.random() < share else (1, 1)
        for share in (0.5, 0.3)
    )
    pads = tuple(int(size) for size in generator.integers(0, 4, 4)) if generator.random() < 0.6 else (0, 0, 0, 0)
    batch, height, width = (int(generator.integers(1, most)) for most in (4, 40, 40))
    case = Case(
        pruned(generator, (features, channels, *kernel), density, block),
        (batch, channels * group, height, width),
        block,
        (strides[0], strides[1]),
        (dilations[0], dilations[1]),
        (pads[0], pads[1], pads[2], pads[3]),
        group,
    )
    places = [
        (size + before + after - dilation * (length - 1) - 1) // stride + 1
        for size, before, after, dilation, length, stride in zip(
            (height, width), pads[:2], pads[2:], dilations, kernel, strides, strict=True
        )
    ]
    return _with_rest(generator, case, (batch, features, *places))


def _random_product(generator: np.random.Generator, block: int, density: float) -> Case:
    features, columns = (int(size) for size in generator.integers(1, 300, 2))
    lead = tuple(int(size) for size in generator.integers(1, 12, int(generator.integers(1, 4))))
    case = Case(pruned(generator, (features, columns), density, block), (*lead, columns), block)
    return _with_rest(generator, case, (*lead, features))


def _with_rest(generator: np.random.Generator, case: Case, output: tuple[int, ...]) -> Case:
    if generator.random() < 0.5:
        case.bias = generator.standard_normal(len(case.weight)).astype(np.float32)
    if generator.random() < 0.4 and min(output) > 0:
        case.residual = output
    if generator.random() < 0.4:
        case.bounds["low"] = 0.0
    if generator.random() < 0.3:
        case.bounds["high"] = 6.0
    return case if min(output) > 0 else random_case(generator)


def difference(case: Case, threads: int = 1, seed: int = 0) -> float:
    """Return the largest error of the sparse operator, relative to the largest magnitude of the dense output."""
    feed = case.feed(seed)
    expected = session(case.dense()).run(None, feed)[0]
    found = session(case.sparse(), threads).run(None, feed)[0]
    assert found.shape == expected.shape
    return float(np.max(np.abs(found - expected), initial=0.0) / (np.max(np.abs(expected), initial=0.0) + 1e-3))
