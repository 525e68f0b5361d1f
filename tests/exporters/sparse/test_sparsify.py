"""The pass: what it takes into its operators, what it leaves alone, and what it says about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import exporters
from compress import operators
from compress.errors import ExportError, InputError, UnavailableError
from compress.operators import DOMAIN
from exporters.sparse import deciding, profiling, storage, timing
from tests.exporters.sparse.building import model, pruned

RNG = np.random.default_rng(0)


def weight(*shape: int, density: float = 0.1, block: int = 4) -> Any:
    return pruned(np.random.default_rng(sum(shape)), shape, density, block)


def save(path: Path, nodes: list[onnx.NodeProto], constants: dict[str, Any], x: tuple[int | str, ...]) -> Path:
    onnx.save(shaped(model(nodes, constants, {"X": x})), path)
    return path


def shaped(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Valid ONNX says the rank of its outputs."""
    return onnx.shape_inference.infer_shapes(proto)


def convolutions(tail: list[onnx.NodeProto], more: dict[str, Any] | None = None) -> tuple[list[Any], dict[str, Any]]:
    """A sparse 1x1 convolution of 32 to 32 channels from X to C, and what follows."""
    first = helper.make_node("Conv", ["X", "W", "B"], ["C"], name="conv")
    return [first, *tail], {"W": weight(32, 32, 1, 1), "B": RNG.standard_normal(32).astype(np.float32)} | (more or {})


def nodes_of(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


def attributes_of(path: Path) -> dict[str, Any]:
    node = next(node for node in onnx.load(path).graph.node if node.domain == DOMAIN)
    return {item.name: helper.get_attribute_value(item) for item in node.attribute}


def run(tmp_path: Path, parts: tuple[list[Any], dict[str, Any]], x: tuple[int | str, ...] = ("n", 32, 16, 16)) -> Any:
    return exporters.sparsify_onnx(save(tmp_path / "dense.onnx", *parts, x), tmp_path / "sparse.onnx")


TAILS = {
    "relu": ([helper.make_node("Relu", ["C"], ["Y"])], ["SparseConv"], {"low": 0.0}),
    "clip": ([helper.make_node("Clip", ["C", "low", "high"], ["Y"])], ["SparseConv"], {"low": 0.0, "high": 6.0}),
    "clip from below": ([helper.make_node("Clip", ["C", "low"], ["Y"])], ["SparseConv"], {"low": 0.0}),
    "residual": ([helper.make_node("Add", ["X", "C"], ["Y"])], ["SparseConv"], {}),
    "residual and relu": (
        [helper.make_node("Add", ["C", "X"], ["A"]), helper.make_node("Relu", ["A"], ["Y"])],
        ["SparseConv"],
        {"low": 0.0},
    ),
    "relu and then residual": (
        [helper.make_node("Relu", ["C"], ["A"]), helper.make_node("Add", ["A", "X"], ["Y"])],
        ["SparseConv", "Add"],
        {"low": 0.0},
    ),
    "channels shifted": ([helper.make_node("Add", ["C", "shift"], ["Y"])], ["SparseConv"], {}),
    "twice itself": ([helper.make_node("Add", ["C", "C"], ["Y"])], ["SparseConv", "Add"], {}),
    "sigmoid": ([helper.make_node("Sigmoid", ["C"], ["Y"])], ["SparseConv", "Sigmoid"], {}),
    "clip to computed bounds": (
        [helper.make_node("ReduceMin", ["X"], ["m"], keepdims=0), helper.make_node("Clip", ["C", "m"], ["Y"])],
        ["ReduceMin", "SparseConv", "Clip"],
        {},
    ),
    "used twice": (
        [helper.make_node("Relu", ["C"], ["A"]), helper.make_node("Add", ["A", "C"], ["Y"])],
        ["SparseConv", "Relu", "Add"],
        {},
    ),
    "one value added to each pixel": ([helper.make_node("Add", ["C", "column"], ["Y"])], ["SparseConv", "Add"], {}),
}


@pytest.mark.parametrize("name", TAILS)
def test_what_follows_a_layer_goes_into_its_operator_where_that_computes_the_same(name: str, tmp_path: Path) -> None:
    tail, expected, attributes = TAILS[name]
    low, high = np.float32(0), np.float32(6)
    shift, column = np.ones((1, 32, 1, 1), np.float32), np.ones((16, 1), np.float32)
    parts = convolutions(tail, {"low": low, "high": high, "shift": shift, "column": column})
    artifact = run(tmp_path, parts)
    assert sorted(nodes_of(artifact.path)) == sorted(expected)
    found = attributes_of(artifact.path)
    assert {key: found.get(key) for key in ("low", "high") if key in found} == attributes
    assert artifact.verification["max_error"] <= artifact.verification["allowed"]


def test_a_batch_norm_is_folded_first(tmp_path: Path) -> None:
    statistics = {name: RNG.random(32).astype(np.float32) + 0.5 for name in ("scale", "shift", "mean", "variance")}
    tail = [
        helper.make_node("BatchNormalization", ["C", *statistics], ["N"], epsilon=0.01),
        helper.make_node("Relu", ["N"], ["Y"]),
    ]
    artifact = run(tmp_path, convolutions(tail, statistics))
    assert nodes_of(artifact.path) == ["SparseConv"]


def test_two_convolutions_that_meet_share_one_addition(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["X", "W"], ["C"], name="left"),
        helper.make_node("Conv", ["X", "V"], ["D"], name="right"),
        helper.make_node("Add", ["C", "D"], ["A"]),
        helper.make_node("Relu", ["A"], ["Y"]),
    ]
    artifact = run(tmp_path, (nodes, {"W": weight(32, 32, 1, 1), "V": weight(32, 32, 1, 1, density=0.15)}))
    assert nodes_of(artifact.path) == ["SparseConv", "SparseConv"]
    assert [layer["fused"] for layer in artifact.metadata["layers"]] == [["Add", "Relu"], []]


@pytest.mark.parametrize("how", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_automatic_padding_is_written_out(how: str, tmp_path: Path) -> None:
    node = helper.make_node("Conv", ["X", "W"], ["Y"], auto_pad=how, strides=[2, 1], kernel_shape=[3, 4])
    artifact = run(tmp_path, ([node], {"W": weight(32, 32, 3, 4, density=0.05)}), ("n", 32, 29, 31))
    assert nodes_of(artifact.path) == ["SparseConv"]


PRODUCTS = {
    "Gemm": ([helper.make_node("Gemm", ["X", "W", "B"], ["Y"])], (64, 96), (256, 64), False),
    "Gemm transposed": ([helper.make_node("Gemm", ["X", "W", "B"], ["Y"], transB=1)], (96, 64), (256, 64), True),
    "Gemm scaled": (
        [helper.make_node("Gemm", ["X", "W", "B"], ["Y"], transB=1, alpha=0.5, beta=2.0)],
        (96, 64),
        (256, 64),
        True,
    ),
    "MatMul and bias": (
        [helper.make_node("MatMul", ["X", "W"], ["P"]), helper.make_node("Add", ["B", "P"], ["Y"])],
        (64, 96),
        ("n", 256, 64),
        False,
    ),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_become_sparse(name: str, tmp_path: Path) -> None:
    nodes, shape, x, transposed = PRODUCTS[name]
    matrix = weight(96, 64, density=0.05)
    constants = {"W": matrix if transposed else np.ascontiguousarray(matrix.T), "B": np.arange(96, dtype=np.float32)}
    assert constants["W"].shape == shape
    artifact = run(tmp_path, (nodes, constants), x)
    assert nodes_of(artifact.path) == ["SparseMatMul"]
    assert artifact.metadata["layers"][0]["pattern"] == "4x1"


def left(tmp_path: Path, nodes: list[Any], constants: dict[str, Any], x: tuple[int | str, ...]) -> str:
    """Run the pass on a network of which nothing becomes sparse; return why."""
    artifact = run(tmp_path, (nodes, constants), x)
    assert not [node for node in onnx.load(artifact.path).graph.node if node.domain == DOMAIN]
    assert artifact.metadata["library"] is None
    assert artifact.metadata["notes"]
    assert not list(tmp_path.glob("*.so"))
    layer = artifact.metadata["layers"][0]
    assert not layer["chosen"]
    return str(layer["why"])


def test_what_stays_dense_is_told_why(tmp_path: Path) -> None:
    picture: tuple[int | str, ...] = ("n", 32, 16, 16)
    dense, few = weight(32, 32, 1, 1, density=1), weight(32, 32, 3, 3, density=0.75, block=1)
    plain = [helper.make_node("Conv", ["X", "W"], ["Y"])]
    assert "hardly any zeros" in left(tmp_path / _new(tmp_path), plain, {"W": dense}, picture)
    assert "not worth it" in left(tmp_path / _new(tmp_path), plain, {"W": few}, ("n", 32, 64, 64))
    small = weight(32, 32, 1, 1)
    row = [helper.make_node("MatMul", ["X", "W"], ["Y"])]
    assert "too small" in left(tmp_path / _new(tmp_path), row, {"W": weight(64, 64)}, (20, 64))
    single = weight(256, 1024, 1, 1)
    assert "too few places" in left(tmp_path / _new(tmp_path), plain, {"W": single}, ("n", 1024, 2, 2))
    grouped = [helper.make_node("Conv", ["X", "W"], ["Y"], group=2)]
    assert "groups" in left(tmp_path / _new(tmp_path), grouped, {"W": weight(32, 16, 1, 1)}, picture)
    wide = {"W": weight(32, 32, 1).astype(np.float32)}
    assert "one-dimensional" in left(tmp_path / _new(tmp_path), plain, wide, ("n", 32, 64))
    unknown = ("n", 32, "h", "w")
    nodes = [helper.make_node("Conv", ["X", "W"], ["Y"])]
    path = save(tmp_path / "unknown.onnx", nodes, {"W": small}, unknown)
    with pytest.raises(ExportError, match="--size"):
        exporters.sparsify_onnx(path, tmp_path / "sparse.onnx")
    found = exporters.sparsify_onnx(path, tmp_path / "sparse.onnx", sizes={"h": 20, "w": 24})
    assert found.metadata["layers"][0]["chosen"]
    left_side = [helper.make_node("MatMul", ["W", "X"], ["Y"])]
    assert "left" in left(tmp_path / _new(tmp_path), left_side, {"W": weight(64, 64)}, (64, 64))


def _new(folder: Path) -> str:
    name = f"{len(list(folder.iterdir()))}"
    (folder / name).mkdir()
    return name


def test_weights_that_a_caller_may_replace_stay(tmp_path: Path) -> None:
    parts = convolutions([helper.make_node("Relu", ["C"], ["Y"])])
    made = model(*parts, {"X": ("n", 32, 16, 16), "W": (32, 32, 1, 1)})
    onnx.save(shaped(made), tmp_path / "dense.onnx")
    artifact = exporters.sparsify_onnx(tmp_path / "dense.onnx", tmp_path / "sparse.onnx")
    assert "an input" in artifact.metadata["layers"][0]["why"]


def test_an_output_inside_the_network_stays_an_output(tmp_path: Path) -> None:
    parts = convolutions([helper.make_node("Relu", ["C"], ["Y"])])
    made = model(*parts, {"X": (2, 32, 16, 16)})
    made.graph.output.append(helper.make_tensor_value_info("C", TensorProto.FLOAT, None))
    onnx.save(shaped(made), tmp_path / "dense.onnx")
    artifact = exporters.sparsify_onnx(tmp_path / "dense.onnx", tmp_path / "sparse.onnx")
    assert nodes_of(artifact.path) == ["SparseConv", "Relu"]
    assert [value.name for value in onnx.load(artifact.path).graph.output] == ["Y", "C"]


def test_the_file_shrinks_and_names_the_library_beside_it(tmp_path: Path) -> None:
    node = helper.make_node("Conv", ["X", "W"], ["Y"])
    artifact = run(tmp_path, ([node], {"W": weight(256, 256, 1, 1, density=0.1)}), ("n", 256, 16, 16))
    dense, sparse = (tmp_path / "dense.onnx").stat().st_size, artifact.path.stat().st_size
    assert sparse < 0.16 * dense
    names = {item.key: item.value for item in onnx.load(artifact.path).metadata_props}
    assert (tmp_path / names[operators.KEY]).is_file()
    assert artifact.metadata["library"]["name"] == names[operators.KEY]
    onnx.checker.check_model(str(artifact.path), full_check=True)


def test_nothing_is_replaced_without_leave(tmp_path: Path) -> None:
    parts = convolutions([helper.make_node("Relu", ["C"], ["Y"])])
    run(tmp_path, parts)
    with pytest.raises(InputError, match="exists already"):
        run(tmp_path, parts)
    (tmp_path / "sparse.onnx").unlink()
    library = next(tmp_path.glob("*.so"))
    library.write_bytes(b"somebody else's")
    with pytest.raises(InputError, match=r"\.so: exists already"):
        run(tmp_path, parts)
    assert not (tmp_path / "sparse.onnx").exists()


def test_a_sparse_file_is_not_taken_for_a_dense_one(tmp_path: Path) -> None:
    artifact = run(tmp_path, convolutions([helper.make_node("Relu", ["C"], ["Y"])]))
    with pytest.raises(ExportError, match="sparse operators already"):
        exporters.sparsify_onnx(artifact.path, tmp_path / "again.onnx")


def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("nothing of the kind")
    with pytest.raises(ExportError, match=r"text\.onnx"):
        exporters.sparsify_onnx(tmp_path / "text.onnx", tmp_path / "sparse.onnx")


def test_a_wrong_result_is_found_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciding, "pack", lambda matrix, block: storage.pack(matrix * np.float32(1.001), block))
    with pytest.raises(ExportError, match="differs"):
        run(tmp_path, convolutions([helper.make_node("Relu", ["C"], ["Y"])]))
    assert [path.name for path in tmp_path.iterdir()] == ["dense.onnx"]


def test_rounding_that_the_network_makes_large_is_no_fault(tmp_path: Path) -> None:
    """The logarithm of squares near zero, which ONNX Runtime's optimisations leave alone to the last bit."""
    nodes = [
        helper.make_node("MatMul", ["X", "W"], ["C"]),
        helper.make_node("Mul", ["C", "C"], ["S"]),
        helper.make_node("Log", ["S"], ["Y"]),
    ]
    constants = {"W": np.ascontiguousarray(weight(512, 512).T)}
    path = save(tmp_path / "dense.onnx", nodes, constants, ("n", 49, 512))
    artifact = exporters.sparsify_onnx(path, tmp_path / "sparse.onnx")
    assert nodes_of(artifact.path)[0] == "SparseMatMul"
    assert artifact.verification["max_error"] > 1e-5


def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layer: float, network: float) -> Any:
    """Run the pass with the clock's answers made up: ratios sparse / dense of the one layer and of the network."""

    pretended = timing.Paired(1.0, network, network, network - 0.01, network + 0.01, 11)
    monkeypatch.setattr(deciding, "compare", lambda *_arguments, **_options: pretended)
    monkeypatch.setattr(profiling.Times, "dense", lambda *_arguments: 1.0)
    monkeypatch.setattr(profiling.Times, "sparse", lambda *_arguments: layer)
    parts = convolutions([helper.make_node("Relu", ["C"], ["Y"])])
    path = save(tmp_path / "dense.onnx", *parts, ("n", 32, 16, 16))
    return exporters.sparsify_onnx(path, tmp_path / "sparse.onnx", measure=True)


def test_measured_to_be_faster_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = measured(tmp_path, monkeypatch, layer=0.4, network=0.6)
    assert nodes_of(artifact.path) == ["SparseConv"]
    assert artifact.metadata["network"]["ratio"] == 0.6
    assert artifact.metadata["layers"][0]["measured"]["ratio"] == 0.4


@pytest.mark.parametrize(("layer", "network"), [(1.1, 1.1), (0.5, 1.02), (0.5, 0.995)])
def test_measured_not_to_be_faster_stays_dense(
    layer: float, network: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = measured(tmp_path, monkeypatch, layer, network)
    assert nodes_of(artifact.path) == ["Conv", "Relu"]
    assert "dense" in artifact.metadata["notes"][0]


def test_measuring_really_measures(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["X", "W"], ["C"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["C"], ["R"]),
        helper.make_node("ReduceMean", ["R"], ["M"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["M", "V"], ["Y"], name="product"),
    ]
    constants = {"W": weight(64, 64, 3, 3, density=0.05), "V": np.ascontiguousarray(weight(16, 64).T)}
    path = save(tmp_path / "dense.onnx", nodes, constants, ("n", 64, 28, 28))
    artifact = exporters.sparsify_onnx(path, tmp_path / "sparse.onnx", measure=True)
    layers = artifact.metadata["layers"]
    assert all(layer["measured"]["dense"] > 0 and layer["measured"]["sparse"] > 0 for layer in layers)
    assert artifact.metadata["network"]["pairs"] >= 11


def test_a_filter_of_single_channels_joins_the_sparse_layers_around_it(tmp_path: Path) -> None:
    """By rule and by measuring, with a reason either way; alone it stays dense."""
    depthwise = helper.make_node("Conv", ["C", "D"], ["E"], name="depthwise", pads=[1, 1, 1, 1], group=128)
    nodes = [
        helper.make_node("Conv", ["X", "W"], ["C"], name="before"),
        depthwise,
        helper.make_node("Conv", ["E", "V"], ["Y"], name="after"),
    ]
    filters = weight(128, 1, 3, 3, density=1, block=1)
    constants = {"W": weight(128, 128, 1, 1), "D": filters, "V": weight(128, 128, 1, 1)}
    path = save(tmp_path / "dense.onnx", nodes, constants, ("n", 128, 28, 28))
    ruled = exporters.sparsify_onnx(path, tmp_path / "ruled.onnx")
    assert nodes_of(ruled.path) == ["SparseConv"] * 3
    middle = ruled.metadata["layers"][1]
    assert (middle["pattern"], middle["zeros"]) == (None, 0.0)
    assert middle["why"] == "by rule: hardly any zeros, but between sparse layers"
    measured = exporters.sparsify_onnx(path, tmp_path / "measured.onnx", measure=True)
    assert all(layer["why"] for layer in measured.metadata["layers"])
    alone = save(
        tmp_path / "alone.onnx",
        [helper.make_node("Conv", ["X", "D"], ["Y"], group=128)],
        {"D": filters},
        ("n", 128, 28, 28),
    )
    assert nodes_of(exporters.sparsify_onnx(alone, tmp_path / "sparse.onnx").path) == ["Conv"]


def test_another_machine_cannot_be_measured_here(tmp_path: Path) -> None:
    path = save(tmp_path / "dense.onnx", *convolutions([helper.make_node("Relu", ["C"], ["Y"])]), ("n", 32, 16, 16))
    other = next(platform for platform in operators.PLATFORMS if platform != operators.host())
    with pytest.raises(ExportError, match="cannot be measured"):
        exporters.sparsify_onnx(path, tmp_path / "sparse.onnx", measure=True, platform=other)
    with pytest.raises(UnavailableError, match="plan9"):
        exporters.sparsify_onnx(path, tmp_path / "sparse.onnx", platform="plan9-pdp11")


def test_shared_weights_and_default_names_do_not_clash(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["X", "W"], ["C"]),
        helper.make_node("Conv", ["C", "W"], ["Y"]),
    ]
    artifact = run(tmp_path, (nodes, {"W": weight(32, 32, 1, 1), "W.values": np.float32(1)}))
    assert nodes_of(artifact.path) == ["SparseConv", "SparseConv"]
    names = [item.name for item in onnx.load(artifact.path).graph.initializer]
    assert len(names) == len(set(names))


def test_a_network_without_a_finite_output_is_not_said_to_be_verified(tmp_path: Path) -> None:
    constants = {"W": np.full((32, 32, 3, 3), np.nan, np.float32)}
    parts = [helper.make_node("Conv", ["X", "W"], ["Y"])], constants
    with pytest.raises(ExportError, match="output 'Y' has no finite value on random inputs"):
        run(tmp_path, parts)
    assert not (tmp_path / "sparse.onnx").exists()


def test_what_is_not_finite_in_both_files_is_no_difference(tmp_path: Path) -> None:
    tail = [helper.make_node("Sqrt", ["C"], ["S"]), helper.make_node("Div", ["S", "S"], ["Y"])]  # 1 or NaN
    artifact = run(tmp_path, convolutions(tail))
    assert artifact.verification["max_error"] <= artifact.verification["allowed"] < 1.0
