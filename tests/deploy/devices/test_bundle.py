"""The runner as it travels: complete, the same every time, and light."""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.devices import receiver
from deploy.devices.bundle import bundle, closure, foreign

ON_THE_DEVICE = {"numpy", "onnxruntime", "openvino", "tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"}
YOUNGER_THAN_3_9 = {"tomllib"}


def test_it_holds_the_runner_and_every_runtime() -> None:
    modules = set(bundle().modules)
    assert {"deploy", "compress", "compress.errors", "deploy.runner.__main__", "deploy.runner.protocol"} <= modules
    drivers = Path(receiver.__file__).parents[1] / "runtimes"
    assert {f"deploy.runtimes.{path.stem}" for path in drivers.glob("[a-z]*.py")} <= modules


def test_it_imports_nothing_that_a_device_need_not_have() -> None:
    names = foreign()
    odd = {top: users for top, users in names.items() if top not in sys.stdlib_module_names | ON_THE_DEVICE}
    assert not odd
    assert not YOUNGER_THAN_3_9 & set(names)


@pytest.mark.parametrize("path", [*closure().values(), Path(receiver.__file__)], ids=lambda path: path.name)
def test_python_3_9_can_read_it(path: Path) -> None:
    ast.parse(path.read_bytes(), feature_version=(3, 9))


TRAPS: dict[str, Callable[[Any], bool]] = {
    "zip(strict=...)": lambda node: _called(node) == "zip" and _given(node, "strict"),
    "isinstance(..., A | B)": lambda node: _called(node) == "isinstance" and isinstance(node.args[1], ast.BinOp),
    "@dataclass(slots=..., kw_only=...)": lambda node: (
        _called(node) == "dataclass" and _given(node, "slots", "kw_only")
    ),
    "entry_points(group=...)": lambda node: _called(node) == "entry_points" and bool(node.keywords),
    "a type A | B when the module is read": lambda node: isinstance(node, ast.Assign) and _union(node.value),
    "hashlib.file_digest": lambda node: _called(node) == "file_digest",
    "itertools.pairwise": lambda node: _called(node) == "pairwise",
}
"""What Python 3.9 reads, and stumbles over when it runs."""


def _called(node: ast.AST) -> str | None:
    if not isinstance(node, ast.Call):
        return None
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)


def _given(node: ast.Call, *names: str) -> bool:
    return any(keyword.arg in names for keyword in node.keywords)


def _union(node: ast.expr) -> bool:
    types = {"str", "int", "float", "bool", "bytes", "None", "Path"}
    if not (isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr)):
        return False
    return any(_union(side) or ast.unparse(side) in types for side in (node.left, node.right))


@pytest.mark.parametrize("path", [*closure().values(), Path(receiver.__file__)], ids=lambda path: path.name)
def test_python_3_9_does_not_stumble_over_it(path: Path) -> None:
    assert "from __future__ import annotations" in path.read_text() or path.name == "__init__.py"
    found = [
        f"line {getattr(node, 'lineno', 0)}: {trap}"
        for node in ast.walk(ast.parse(path.read_bytes()))
        for trap, caught in TRAPS.items()
        if caught(node)
    ]
    assert not found


@pytest.mark.parametrize("trap", TRAPS)
def test_the_traps_catch(trap: str) -> None:
    text = """
zip(a, b, strict=True); isinstance(a, int | float); dataclass(slots=True); entry_points(group="x")
A = int | None; hashlib.file_digest(a, b); itertools.pairwise(a)
"""
    assert any(TRAPS[trap](node) for node in ast.walk(ast.parse(text)))


def test_the_bytes_are_the_same_in_another_process(tmp_path: Path) -> None:
    code = "from deploy.devices.bundle import bundle; print(bundle().sha256)"
    home = str(Path(receiver.__file__).parents[2])
    environment = os.environ | {"PYTHONPATH": home, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment, check=True
    )
    assert done.stdout.strip() == bundle().sha256


def test_it_is_small_enough_for_any_device() -> None:
    with zipfile.ZipFile(io.BytesIO(bundle().data)) as archive:
        assert archive.testzip() is None
    assert len(bundle().data) < 300_000
