"""Small networks to certify runtimes on: as ONNX files, with inputs for them, and what they compute in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from deploy.runtimes.base import Array

_OPSET, _IR = 17, 8


@dataclass(frozen=True)
class Network:
    """A network with named layers.

    ``inputs`` are declared as ``{name: (type, shape)}``, in ONNX's words; a dimension that is a name is dynamic.
    ``layers`` are those that have weights.
    """

    model: Any
    inputs: Mapping[str, tuple[str, tuple[int | str, ...]]]
    layers: tuple[str, ...]

    def save(self, path: Path) -> Path:
        """Write it to ``path``."""
        onnx.save(self.model, str(path))
        return path

    def feeds(self, sizes: Mapping[str, int], *, seed: int = 0) -> dict[str, Array]:
        """Return random inputs for these sizes of the dynamic dimensions."""
        generator = np.random.default_rng(seed)
        made: dict[str, Array] = {}
        for name, (kind, declared) in self.inputs.items():
            shape = [sizes[size] if isinstance(size, str) else size for size in declared]
            if kind == "int64":
                made[name] = generator.integers(0, 8, shape)
            else:
                made[name] = generator.standard_normal(shape).astype(np.float32)
        return made

    def expected(self, feeds: Mapping[str, Array]) -> list[Array]:
        """Return what it computes in float64, by the ONNX package's own definition of each operator."""
        from onnx.reference import ReferenceEvaluator

        wide = {name: array.astype(np.float64) if array.dtype == np.float32 else array for name, array in feeds.items()}
        return list(ReferenceEvaluator(_widened(self.model)).run(None, wide))


def convolutional(width: int = 16) -> Network:
    """A stem, a residual block with a depthwise convolution, and a classifier; any batch, height and width."""
    build = _Builder()
    stem = build.convolution("stem", "image", 3, width, kernel=3, stride=2)
    tensor = build.add("Relu", [stem])
    for layer, kernel, group in (("block.expand", 1, 1), ("block.depthwise", 3, width)):
        tensor = build.convolution(layer, tensor, width, width, kernel=kernel, group=group)
        tensor = build.add("Clip", [tensor, build.constant(0.0), build.constant(6.0)])
    tensor = build.convolution("block.project", tensor, width, width, kernel=1)
    tensor = build.add("Relu", [build.add("Add", [tensor, build.add("Relu", [stem])])])
    tensor = build.add("Flatten", [build.add("GlobalAveragePool", [tensor])])
    build.add("Gemm", [tensor, *build.weights("head", (10, width), width)], name="head/Gemm", transB=1, output="scores")
    return build.network({"image": ("float", ("batch", 3, "height", "width"))}, {"scores": ["batch", 10]})


def transformer(width: int = 32, heads: int = 4) -> Network:
    """One block of attention and one of two linear layers, written out in plain operators; any batch and length."""
    build = _Builder()
    tensor = build.normalisation("attention.norm", "tokens", width)
    qkv = build.linear("attention.qkv", tensor, width, 3 * width)
    parts = [f"part{index}" for index in range(3)]
    build.nodes.append(helper.make_node("Split", [qkv], parts, name="Split", axis=2))
    split = build.constant([0, 0, heads, width // heads], np.int64)
    apart = [build.add("Reshape", [part, split]) for part in parts]
    query, value = (build.add("Transpose", [apart[index]], perm=[0, 2, 1, 3]) for index in (0, 2))
    key = build.add("Transpose", [apart[1]], perm=[0, 2, 3, 1])
    scores = build.add("Mul", [build.add("MatMul", [query, key]), build.constant((width // heads) ** -0.5)])
    mixed = build.add("MatMul", [build.add("Softmax", [scores], axis=-1), value])
    merged = build.add("Transpose", [mixed], perm=[0, 2, 1, 3])
    merged = build.add("Reshape", [merged, build.constant([0, 0, width], np.int64)])
    tensor = build.add("Add", ["tokens", build.linear("attention.project", merged, width, width)])
    hidden = build.linear("mlp.fc1", build.normalisation("mlp.norm", tensor, width), width, 2 * width)
    erf = build.add("Erf", [build.add("Div", [hidden, build.constant(2**0.5)])])
    half = build.add("Mul", [hidden, build.add("Add", [erf, build.constant(1.0)])])
    hidden = build.add("Mul", [half, build.constant(0.5)])
    build.add("Add", [tensor, build.linear("mlp.fc2", hidden, 2 * width, width)], output="encoded")
    declared: tuple[int | str, ...] = ("batch", "length", width)
    return build.network({"tokens": ("float", declared)}, {"encoded": list(declared)})


def two_sided() -> Network:
    """Two inputs of different types, two outputs: the sum and the product of embedded indices and a scale."""
    build = _Builder()
    (table,) = build.weights("embedding", (8, 4), 1, bias=False)
    rows = build.add("Gather", [table, "indices"], name="embedding/Gather")
    build.add("Add", [rows, "scale"], output="total")
    build.add("Mul", [rows, "scale"], output="product")
    inputs = {"indices": ("int64", ("batch", 5)), "scale": ("float", ("batch", 5, 4))}
    return build.network(inputs, {"total": ["batch", 5, 4], "product": ["batch", 5, 4]})


def unsupported() -> Network:
    """One operator that no runtime has."""
    build = _Builder()
    build.nodes.append(helper.make_node("Nonsense", ["x"], ["y"], name="odd", domain="certification"))
    return build.network({"x": ("float", ("batch", 3))}, {"y": ["batch", 3]})


NETWORKS: dict[str, tuple[Callable[[], Network], tuple[dict[str, int], ...]]] = {
    "convolutional": (
        convolutional,
        (
            {"batch": 1, "height": 24, "width": 24},
            {"batch": 3, "height": 24, "width": 24},
            {"batch": 2, "height": 17, "width": 33},
        ),
    ),
    "transformer": (transformer, ({"batch": 1, "length": 7}, {"batch": 3, "length": 7}, {"batch": 2, "length": 12})),
    "two-sided": (two_sided, ({"batch": 1}, {"batch": 4})),
}
"""Each with the sizes to run it at: a batch of one, a larger one, and other sizes where it has any."""


@dataclass
class _Builder:
    nodes: list[Any] = field(default_factory=list)
    tensors: list[Any] = field(default_factory=list)
    layers: list[str] = field(default_factory=list)
    _generator: Any = field(default_factory=lambda: np.random.default_rng(7))

    def add(self, operator: str, inputs: Sequence[str], *, name: str = "", output: str = "", **attributes: Any) -> str:
        made = output or f"value{len(self.nodes)}"
        called = name or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [made], name=called, **attributes))
        return made

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"constant{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def weights(self, layer: str, shape: tuple[int, ...], fan_in: int, *, bias: bool = True) -> list[str]:
        self.layers.append(layer)
        weight = self._generator.standard_normal(shape) * (2 / fan_in) ** 0.5
        self.tensors.append(numpy_helper.from_array(weight.astype(np.float32), f"{layer}.weight"))
        if not bias:
            return [f"{layer}.weight"]
        values = self._generator.standard_normal(shape[0]) * 0.1
        self.tensors.append(numpy_helper.from_array(values.astype(np.float32), f"{layer}.bias"))
        return [f"{layer}.weight", f"{layer}.bias"]

    def convolution(
        self, layer: str, tensor: str, inside: int, outside: int, *, kernel: int, stride: int = 1, group: int = 1
    ) -> str:
        shape = (outside, inside // group, kernel, kernel)
        inputs = [tensor, *self.weights(layer, shape, shape[1] * kernel**2)]
        pads, strides = [kernel // 2] * 4, [stride, stride]
        return self.add("Conv", inputs, name=f"{layer}/Conv", pads=pads, strides=strides, group=group)

    def linear(self, layer: str, tensor: str, inside: int, outside: int) -> str:
        weight, bias = self.weights(layer, (outside, inside), inside)
        table = numpy_helper.to_array(self.tensors[-2]).T
        self.tensors[-2] = numpy_helper.from_array(np.ascontiguousarray(table), weight)
        return self.add(
            "Add", [self.add("MatMul", [tensor, weight], name=f"{layer}/MatMul"), bias], name=f"{layer}/Add"
        )

    def normalisation(self, layer: str, tensor: str, width: int) -> str:
        weight, bias = self.weights(layer, (width,), 2)
        centred = self.add("Sub", [tensor, self.add("ReduceMean", [tensor], axes=[-1])])
        variance = self.add("ReduceMean", [self.add("Pow", [centred, self.constant(2.0)])], axes=[-1])
        deviation = self.add("Sqrt", [self.add("Add", [variance, self.constant(1e-5)])])
        scaled = self.add("Mul", [self.add("Div", [centred, deviation]), weight], name=f"{layer}/Mul")
        return self.add("Add", [scaled, bias], name=f"{layer}/Add")

    def network(
        self, inputs: Mapping[str, tuple[str, tuple[int | str, ...]]], outputs: Mapping[str, list[int | str]]
    ) -> Network:
        kinds = {"float": TensorProto.FLOAT, "int64": TensorProto.INT64}
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info(name, kinds[kind], shape) for name, (kind, shape) in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
            self.tensors,
        )
        domains = {"": _OPSET} | {node.domain: 1 for node in self.nodes if node.domain}
        opsets = [helper.make_opsetid(domain, version) for domain, version in domains.items()]
        return Network(helper.make_model(graph, opset_imports=opsets, ir_version=_IR), inputs, tuple(self.layers))


def _widened(model: Any) -> Any:
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    for tensor in wide.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
    for value in (*wide.graph.input, *wide.graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    return wide
