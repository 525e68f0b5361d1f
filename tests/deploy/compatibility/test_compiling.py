"""Cells of compute capabilities, around compilers that say one thing or another."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from deploy.compatibility import Cell, Compiled, Trials, check
from deploy.compatibility.retyping import float_types
from tests.deploy.compatibility.networks import ACME, convolution

TWO = ("7.5", "8.6")


def cells(path: Path, compiler: Callable[[Path, str, float], Compiled], **trials: object) -> list[Cell]:
    """Return the cells of one file for two capabilities."""
    how = Trials(timeout=7.0, **trials)  # type: ignore[arg-type]
    matrix = check([path], runtimes=["onnxruntime-coreml"], capabilities=TWO, compiler=compiler, trials=how)
    return [cell for cell in matrix.cells if cell.device.startswith("sm ")]


def test_each_capability_has_a_cell_and_nothing_is_claimed_of_what_only_compiles(tmp_path: Path) -> None:
    asked: list[tuple[str, str, float]] = []

    def compile_file(path: Path, capability: str, timeout: float) -> Compiled:
        asked.append((path.name, capability, timeout))
        return Compiled("compiles", version="9.9")

    found = cells(convolution(tmp_path / "net.onnx"), compile_file)
    assert asked == [("net.onnx", "7.5", 7.0), ("net.onnx", "8.6", 7.0)]
    assert [(cell.device, cell.outcome, cell.version, cell.measured) for cell in found] == [
        ("sm 7.5", "compiles", "9.9", False),
        ("sm 8.6", "compiles", "9.9", False),
    ]
    assert found[0].reason == "compiled ahead of time, not executed"
    assert found[0].error is None


def test_another_type_is_found_by_trial(tmp_path: Path) -> None:
    def no_single_precision_before_8(path: Path, capability: str, timeout: float) -> Compiled:
        if capability == "7.5" and float_types(onnx.load(str(path))) == {"fp32"}:
            return Compiled("refused", reason="FP32 is not supported")
        return Compiled("compiles")

    old, new = cells(convolution(tmp_path / "net.onnx"), no_single_precision_before_8)
    assert (old.outcome, old.reason, old.needs) == ("refused", "FP32 is not supported", "fp16")
    assert new.outcome == "compiles"


def test_what_cannot_be_parsed_is_tried_once_and_in_other_opsets(tmp_path: Path) -> None:
    tried: list[str] = []

    def takes_17(path: Path, capability: str, timeout: float) -> Compiled:
        model = onnx.load(str(path))
        tried.append(path.name)
        if model.opset_import[0].version == 17:
            return Compiled("compiles")
        return Compiled("refused", reason="what is this?", parsed=False)

    found = cells(convolution(tmp_path / "net.onnx"), takes_17)
    assert [cell.needs for cell in found] == ["opset 17", "opset 17"]
    assert [cell.device for cell in found] == ["sm 7.5", "sm 8.6"]
    assert tried.count("net.onnx") == 1


def test_other_peoples_operators_are_named_and_no_copy_is_tried(tmp_path: Path) -> None:
    tried: list[str] = []

    def refuses(path: Path, capability: str, timeout: float) -> Compiled:
        tried.append(path.name)
        return Compiled("refused", reason="no", unsupported=(f"{ACME}::Frobnicate",), parsed=False)

    node = helper.make_node("Frobnicate", ["r"], ["e"], domain=ACME)
    found = cells(convolution(tmp_path / "acme.onnx", behind=[node], domains=[ACME]), refuses)
    assert [cell.unsupported for cell in found] == [[f"{ACME}::Frobnicate"]] * 2
    assert [cell.needs for cell in found] == [None, None]
    assert tried == ["acme.onnx"]


def _always(made: Compiled, _path: Path, _capability: str, _timeout: float) -> Compiled:
    return made


def test_crashes_hangs_and_absence_are_passed_on(tmp_path: Path) -> None:
    net = convolution(tmp_path / "net.onnx")
    for outcome in ("crashed", "hung", "not tested here"):
        made = Compiled(outcome, reason="because")
        for cell in cells(net, partial(_always, made)):
            assert (cell.outcome, cell.reason, cell.needs) == (outcome, "because", None)


def test_sizes_are_fixed_before_it_is_compiled(tmp_path: Path) -> None:
    shapes: list[list[int]] = []

    def look(path: Path, capability: str, timeout: float) -> Compiled:
        (value,) = onnx.load(str(path)).graph.input
        shapes.append([size.dim_value for size in value.type.tensor_type.shape.dim])
        return Compiled("compiles")

    cells(convolution(tmp_path / "tall.onnx", height="height"), look, sizes={"height": 12})
    assert shapes == [[0, 3, 12, 8]] * 2


def test_only_onnx_is_compiled(tmp_path: Path) -> None:
    (tmp_path / "net.engine").write_bytes(b"engine")
    found = cells(tmp_path / "net.engine", lambda *_: Compiled("compiles"))
    assert {cell.outcome for cell in found} == {"not tested here"}
    assert {cell.reason for cell in found} == {"only ONNX files are compiled ahead of time"}


def test_half_precision_has_float32_for_a_remedy(tmp_path: Path) -> None:
    def single(path: Path, capability: str, timeout: float) -> Compiled:
        fits = float_types(onnx.load(str(path))) == {"fp32"}
        return Compiled("compiles") if fits else Compiled("refused", reason="single precision alone")

    found = cells(convolution(tmp_path / "half.onnx", kind=TensorProto.FLOAT16), single)
    assert {cell.needs for cell in found} == {"fp32"}


def test_functions_are_inlined_where_that_helps(tmp_path: Path) -> None:
    def no_functions(path: Path, capability: str, timeout: float) -> Compiled:
        if onnx.load(str(path)).functions:
            return Compiled("refused", reason="what is Squared?", unsupported=("own::Squared",), parsed=False)
        return Compiled("compiles")

    square = helper.make_function(
        "own", "Squared", ["a"], ["b"], [helper.make_node("Mul", ["a", "a"], ["b"])], [helper.make_opsetid("", 18)]
    )
    node = helper.make_node("Squared", ["r"], ["e"], domain="own")
    path = convolution(tmp_path / "net.onnx", behind=[node], domains=["own"])
    model = onnx.load(str(path))
    model.functions.append(square)
    onnx.save(model, str(path))
    assert {cell.needs for cell in cells(path, no_functions)} == {"its functions inlined"}
