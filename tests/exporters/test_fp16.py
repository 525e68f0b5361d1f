"""ONNX graphs in half precision: what is converted, what stays, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import exporters
from compress.errors import ExportError, InputError
from exporters._runtime import Array


def _float32(values: list[float]) -> Array:
    return np.asarray(values, np.float32)


def _int64(values: list[int]) -> Array:
    return np.asarray(values, np.int64)


def _model(
    nodes: list[onnx.NodeProto], weights: dict[str, Array], path: Path, outputs: tuple[str, ...] = ("y",), rank: int = 2
) -> Path:
    """Write a model of input x (batch, 4) and float outputs (batch, anything)."""
    shape = [f"axis{axis}" for axis in range(rank)]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def _types(path: Path) -> dict[str, int]:
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    values = [*model.graph.value_info, *model.graph.input, *model.graph.output]
    return {value.name: value.type.tensor_type.elem_type for value in values} | {
        item.name: item.data_type for item in model.graph.initializer
    }


def test_network_becomes_half_with_single_borders(small_onnx: Path, tmp_path: Path) -> None:
    artifact = exporters.convert_fp16(small_onnx, tmp_path / "half.onnx")
    before, after = onnx.load(small_onnx), onnx.load(artifact.path)
    onnx.checker.check_model(after, full_check=True)
    assert [v.name for v in after.graph.input] == [v.name for v in before.graph.input]
    assert [v.name for v in after.graph.output] == [v.name for v in before.graph.output]
    for value in (*after.graph.input, *after.graph.output):
        assert value.type.tensor_type.elem_type == TensorProto.FLOAT
    assert not [item.name for item in after.graph.initializer if item.data_type == TensorProto.FLOAT]
    assert [node.op_type for node in after.graph.node].count("Cast") == 2
    assert artifact.path.stat().st_size < 0.65 * small_onnx.stat().st_size
    assert artifact.kind == "onnx-fp16"
    assert 0 < artifact.verification["max_error"] < artifact.verification["allowed"]
    assert artifact.metadata["kept_float32"] == {}
    assert {p.key: p.value for p in before.metadata_props} == {p.key: p.value for p in after.metadata_props}


def test_unsafe_operators_stay_in_single(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"], "mul"), helper.make_node("Softmax", ["h"], ["s"], "soft")]
    nodes.append(helper.make_node("MatMul", ["s", "w"], ["y"], "again"))
    artifact = exporters.convert_fp16(_model(nodes, {"w": weight}, tmp_path / "a.onnx"), tmp_path / "half.onnx")
    assert artifact.metadata["kept_float32"] == {"soft": "unsafe in float16"}
    types = _types(artifact.path)
    assert types["h"] == TensorProto.FLOAT16
    assert types["s"] == TensorProto.FLOAT


def test_values_too_large_for_half_stay_in_single_by_name(tmp_path: Path) -> None:
    """A weight and an activation beyond 65504: both nodes are kept, the file computes the same."""
    nodes = [
        helper.make_node("Mul", ["x", "huge"], ["big"], "grow"),
        helper.make_node("Mul", ["big", "tiny"], ["same"], "shrink"),
        helper.make_node("Relu", ["same"], ["y"], "relu"),
    ]
    weights = {"huge": _float32([1e6]), "tiny": _float32([1e-6])}
    artifact = exporters.convert_fp16(_model(nodes, weights, tmp_path / "a.onnx"), tmp_path / "half.onnx")
    assert set(artifact.metadata["kept_float32"]) == {"grow", "shrink"}
    assert "big reaches" in artifact.metadata["kept_float32"]["shrink"]
    assert artifact.verification["max_error"] < 1e-3


def test_real_samples_decide_what_is_kept(tmp_path: Path) -> None:
    nodes = [helper.make_node("Mul", ["x", "k"], ["big"], "grow"), helper.make_node("Relu", ["big"], ["y"], "relu")]
    samples = {"x": np.full((2, 4), 1000, np.float32)}
    source = _model(nodes, {"k": _float32([100])}, tmp_path / "a.onnx")
    assert exporters.convert_fp16(source, tmp_path / "1.onnx").metadata["kept_float32"] == {}
    kept = exporters.convert_fp16(source, tmp_path / "2.onnx", samples=samples).metadata["kept_float32"]
    assert set(kept) == {"grow", "relu"}


def test_inputs_that_must_be_single_stay_so(tmp_path: Path) -> None:
    """Resize knows float16 data but only float32 scales; Cast and ConstantOfShape change their attribute."""
    nodes = [
        helper.make_node("Unsqueeze", ["x", "axes"], ["image"], "image"),
        helper.make_node("Resize", ["image", "", "scales"], ["large"], "resize", mode="nearest"),
        helper.make_node("Cast", ["n"], ["f"], "cast", to=TensorProto.FLOAT),
        helper.make_node("ConstantOfShape", ["one"], ["c"], "fill", value=numpy_helper.from_array(_float32([0.5]))),
        helper.make_node("Mul", ["large", "f"], ["m"], "mul"),
        helper.make_node("Add", ["m", "c"], ["y"], "add"),
    ]
    weights = {
        "axes": _int64([0, 1]),
        "scales": _float32([1, 1, 2, 2]),
        "n": _int64([3]),
        "one": _int64([1]),
    }
    source = _model(nodes, weights, tmp_path / "a.onnx", rank=4)
    artifact = exporters.convert_fp16(source, tmp_path / "half.onnx")
    types = _types(artifact.path)
    assert types["scales"] == TensorProto.FLOAT
    assert {types[name] for name in ("large", "f", "c", "m")} == {TensorProto.FLOAT16}


def test_precision_that_half_does_not_have_is_refused(tmp_path: Path) -> None:
    """The difference of two nearly equal numbers: nothing overflows, and nothing is left of the result."""
    nodes = [helper.make_node("Add", ["x", "k"], ["big"], "up"), helper.make_node("Sub", ["big", "k"], ["y"], "down")]
    source = _model(nodes, {"k": _float32([10000])}, tmp_path / "a.onnx")
    with pytest.raises(ExportError, match="float16 form is off by"):
        exporters.convert_fp16(source, tmp_path / "half.onnx")
    assert list(tmp_path.iterdir()) == [source]


def test_output_that_is_also_used_inside(tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"], "first"), helper.make_node("Neg", ["y"], ["z"], "second")]
    artifact = exporters.convert_fp16(_model(nodes, {}, tmp_path / "a.onnx", ("y", "z")), tmp_path / "half.onnx")
    assert [value.name for value in onnx.load(artifact.path).graph.output] == ["y", "z"]


@pytest.mark.parametrize("content", [b"", b"hello", b"\x08\x07" * 50, b"\x00" * 1000])
def test_files_that_are_not_onnx(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(ExportError, match="not a valid ONNX file"):
        exporters.convert_fp16(path, tmp_path / "half.onnx")


def test_truncated_missing_and_existing_files(small_onnx: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(small_onnx.read_bytes()[:-500])
    with pytest.raises(ExportError, match="not a valid ONNX file"):
        exporters.convert_fp16(cut, tmp_path / "half.onnx")
    with pytest.raises(ExportError, match="no such file"):
        exporters.convert_fp16(tmp_path / "none.onnx", tmp_path / "half.onnx")
    with pytest.raises(InputError, match="exists already"):
        exporters.convert_fp16(small_onnx, cut)


def test_already_half_is_refused(small_onnx: Path, tmp_path: Path) -> None:
    once = exporters.convert_fp16(small_onnx, tmp_path / "once.onnx")
    with pytest.raises(ExportError, match="holds float16 values already"):
        exporters.convert_fp16(once.path, tmp_path / "twice.onnx")
