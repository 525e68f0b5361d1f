"""The graph rewriting behind :mod:`exporters.fp16`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx_ir as ir

from compress.errors import ExportError

_HALF, _SINGLE = ir.DataType.FLOAT16, ir.DataType.FLOAT
_TYPED_BY_ATTRIBUTE = {"ConstantOfShape": "value", "Constant": "value"}


class Halver:
    """Retypes one model in place, node by node in graph order, placing a Cast where the two precisions meet."""

    def __init__(self, model: ir.Model, kept: Mapping[str, str], where: str) -> None:
        self._graph = model.graph
        self._opset = model.graph.opset_imports.get("", 1)
        self._kept = kept
        self._where = where
        self._casts: dict[tuple[ir.Value, ir.DataType], ir.Value] = {}
        self._taken = {str(value.name) for node in self._graph for value in node.outputs}
        self._taken |= {str(value.name) for value in (*self._graph.inputs, *self._graph.initializers.values())}
        self._taken |= {str(node.name) for node in self._graph}

    def convert(self) -> None:
        """Do it. Raises :class:`ExportError` where the type of a value is unknown."""
        outputs = list(self._graph.outputs)
        for node in list(self._graph):
            self._convert_node(node)
        for index, value in enumerate(outputs):
            self._restore_output(index, value)
        for name, value in list(self._graph.initializers.items()):
            if not value.uses() and value not in outputs:
                del self._graph.initializers[name]

    def _convert_node(self, node: ir.Node) -> None:
        kept = str(node.name) in self._kept
        halves_in, halves_out = ([], []) if kept else self._half_ports(node)
        for index, value in enumerate(node.inputs):
            if value is not None and self._dtype(value) in (_HALF, _SINGLE):
                wanted = _HALF if index in halves_in else _SINGLE
                if self._dtype(value) != wanted:
                    node.replace_input_with(index, self._as(value, wanted, node))
        if kept:
            return
        if self._retype_attributes(node):
            halves_out = [0]
        for index in halves_out:
            if node.outputs[index].dtype == _SINGLE:
                node.outputs[index].dtype = _HALF

    def _half_ports(self, node: ir.Node) -> tuple[list[int], list[int]]:
        """The inputs and outputs that the operator's ONNX signature lets be float16."""
        schema = onnx.defs.get_schema(node.op_type, self._opset, "")
        allowed = {item.type_param_str: set(item.allowed_type_strs) for item in schema.type_constraints}
        bound = {port.type_str for port in schema.inputs}

        def accepts(ports: list[onnx.defs.OpSchema.FormalParameter], index: int) -> bool:
            port = ports[min(index, len(ports) - 1)]
            return "tensor(float16)" in allowed.get(port.type_str, {port.type_str})

        inputs = [index for index in range(len(node.inputs)) if accepts(list(schema.inputs), index)]
        outputs = [
            index
            for index in range(len(node.outputs))
            if accepts(list(schema.outputs), index)
            and schema.outputs[min(index, len(schema.outputs) - 1)].type_str in bound
        ]
        return inputs, outputs

    def _retype_attributes(self, node: ir.Node) -> bool:
        """Operators whose output type an attribute decides; True where it was float32 and is float16 now."""
        if node.outputs[0].dtype != _SINGLE:
            return False
        if node.op_type == "Cast":
            node.attributes["to"] = ir.AttrInt64("to", int(_HALF))
            return True
        name = _TYPED_BY_ATTRIBUTE.get(node.op_type)
        if name is None:
            return False
        if name in node.attributes:
            array = node.attributes[name].as_tensor().numpy()
        elif "value_float" in node.attributes:
            array = np.asarray(node.attributes.pop("value_float").as_float())
        elif "value_floats" in node.attributes:
            array = np.asarray(node.attributes.pop("value_floats").as_floats())
        else:
            array = np.zeros(1)
        node.attributes[name] = ir.AttrTensor(name, ir.tensor(array.astype(np.float16)))
        return True

    def _as(self, value: ir.Value, dtype: ir.DataType, user: ir.Node) -> ir.Value:
        known = self._casts.get((value, dtype))
        if known is not None:
            return known
        name = self._free(f"{value.name}_{'fp16' if dtype == _HALF else 'fp32'}")
        if value.is_initializer() and value.const_value is not None:
            array = value.const_value.numpy().astype(np.float16 if dtype == _HALF else np.float32)
            made = ir.Value(name=name, const_value=ir.tensor(array, name=name))
            made.dtype, made.shape = dtype, ir.Shape(array.shape)
            self._graph.register_initializer(made)
        else:
            cast = ir.node("Cast", [value], {"to": int(dtype)}, name=self._free(f"{name}/Cast"))
            producer = value.producer()
            if producer is None:
                self._graph.insert_before(self._graph[0], cast)
            else:
                self._graph.insert_after(producer, cast)
            made = cast.outputs[0]
            made.name, made.dtype, made.shape = name, dtype, value.shape
        self._casts[value, dtype] = made
        return made

    def _restore_output(self, index: int, value: ir.Value) -> None:
        """An output that became float16 hands its name to a Cast back to float32."""
        if value.dtype != _HALF or value.producer() is None:
            return
        name = str(value.name)
        value.name = self._free(f"{name}_fp16")
        cast = ir.node("Cast", [value], {"to": int(_SINGLE)}, name=self._free(f"{name}/Cast"))
        self._graph.append(cast)
        made = cast.outputs[0]
        made.name, made.dtype, made.shape = name, _SINGLE, value.shape
        self._graph.outputs[index] = made

    def _dtype(self, value: ir.Value) -> ir.DataType:
        dtype = value.dtype if value.const_value is None else value.const_value.dtype
        if dtype is None:
            raise ExportError(f"the type of value {value.name!r} is unknown", where=self._where)
        return dtype

    def _free(self, name: str) -> str:
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name
