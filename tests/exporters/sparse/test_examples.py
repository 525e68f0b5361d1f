"""The programs written beside a sparse file do what they say, compiled and run as their first lines say."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import exporters
from compress import operators
from compress.operators import DOMAIN
from exporters._runtime import Feed, Session
from exporters.sparse import examples
from tests.exporters.sparse.building import model, pruned

HEADER = Path(__file__).with_name("header")
LIBRARY = operators.library_name(operators.host())
SIZES = {"height": 24}


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    """A sparse file with dynamic axes, an input of integers, and a name that has to be quoted, and its library."""
    weight = pruned(np.random.default_rng(0), (64, 64, 3, 3), 0.1, 4)
    nodes = [
        helper.make_node("Conv", ['the "X"', "W", "B"], ["C"], pads=[1, 1, 1, 1]),
        helper.make_node("Cast", ["shift"], ["S"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["C", "S"], ["Y"]),
    ]
    bias = np.random.default_rng(1).standard_normal(64).astype(np.float32)
    proto = model(nodes, {"W": weight, "B": bias}, {'the "X"': ("batch", 64, "height", 32)})
    proto.graph.input.append(helper.make_tensor_value_info("shift", TensorProto.INT64, []))
    onnx.save(onnx.shape_inference.infer_shapes(proto), tmp_path / "dense.onnx")
    exporters.sparsify_onnx(tmp_path / "dense.onnx", tmp_path / "net.sparse.onnx", sizes=SIZES)
    assert any(node.domain == DOMAIN for node in onnx.load(tmp_path / "net.sparse.onnx").graph.node)
    return tmp_path / "net.sparse.onnx"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A folder like ONNX Runtime's release for C, with the library of the Python package."""
    import onnxruntime

    found = sorted((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))
    if not found:
        pytest.skip("this onnxruntime package has no libonnxruntime.so of its own")
    (tmp_path / "ort" / "lib").mkdir(parents=True)
    shutil.copytree(HEADER, tmp_path / "ort" / "include")
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (tmp_path / "ort" / "lib" / name).symlink_to(found[0])
    return tmp_path / "ort"


def compiled(source: Path, release: Path) -> Path:
    """Compile as the example's first line says, with all warnings as errors."""
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler")
    command = source.read_text().splitlines()[0].removeprefix("/* ").partition(", with")[0]
    strict = "-std=c99 -pedantic -Wall -Wextra -Werror -o example"
    done = subprocess.run(
        ["sh", "-c", f"{command} {strict}"],
        capture_output=True,
        text=True,
        cwd=source.parent,
        env=os.environ | {"ORT": str(release)},
    )
    assert done.returncode == 0, done.stderr
    return source.parent / "example"


def run(command: list[str], folder: Path) -> Any:
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


def test_the_c_example_loads_the_file_and_runs_it(sparse: Path, release: Path) -> None:
    source = sparse.with_name("example.c")
    source.write_text(examples.c(sparse, LIBRARY, SIZES))
    done = run([str(compiled(source, release))], sparse.parent)
    assert done.returncode == 0, done
    loaded, ran = done.stdout.splitlines()
    assert loaded == "loaded"
    zeros: Feed = {'the "X"': np.zeros((1, 64, 24, 32), np.float32), "shift": np.zeros((), np.int64)}
    (expected,) = Session(sparse).run(zeros)
    name, _, first = ran.partition(" begins with ")
    assert name == "Y"
    assert float(first) == pytest.approx(expected.flat[0], rel=1e-4)


@pytest.mark.parametrize("missing", [LIBRARY, "net.sparse.onnx"])
def test_the_c_example_says_what_is_missing(missing: str, sparse: Path, release: Path) -> None:
    source = sparse.with_name("example.c")
    source.write_text(examples.c(sparse, LIBRARY, SIZES))
    program = compiled(source, release)
    sparse.with_name(missing).unlink()
    done = run([str(program)], sparse.parent)
    assert done.returncode == 1
    assert missing in done.stdout
    assert "loaded" not in done.stdout.split()


def test_the_python_example_runs_the_file(sparse: Path) -> None:
    sparse.with_name("example.py").write_text(examples.python(sparse, LIBRARY, SIZES))
    done = run([sys.executable, "example.py"], sparse.parent)
    assert done.returncode == 0, done.stderr
    assert "[('Y', (1, 64, 24, 32))]" in done.stdout
