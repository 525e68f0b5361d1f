"""The library for this machine as Zig builds it, where there is no other compiler."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

import exporters
from compress import operators
from compress.operators import DOMAIN
from exporters.sparse import compiler, library
from tests.exporters.sparse.test_sparsify import convolutions, save

SCRIPT = """
import sys
import numpy as np, onnxruntime
feed = {"X": np.random.default_rng(0).standard_normal((3, 32, 16, 16)).astype("float32")}
outputs = []
for name in sys.argv[2:]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    if name != "dense.onnx":
        options.register_custom_ops_library(sys.argv[1])
    session = onnxruntime.InferenceSession(name, options, providers=["CPUExecutionProvider"])
    outputs.append(session.run(None, feed)[0])
np.save("outputs.npy", outputs)
"""


@pytest.fixture
def zig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The library, found on a machine without a compiler of its own and with nothing built yet."""
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("the package ziglang is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", str(tmp_path / "none"))
    monkeypatch.setattr(library, "INSTALLED", tmp_path / "none")
    assert [found.name for found in compiler.compilers(operators.host())] == ["ziglang"]
    return library.find()


@pytest.mark.slow
@pytest.mark.timeout(1800)  # the first time, the compiler builds its own libraries
def test_what_zig_builds_computes_the_same_and_ends_cleanly(zig: Path, tmp_path: Path) -> None:
    relu = helper.make_node("Relu", ["C"], ["Y"])
    save(tmp_path / "dense.onnx", *convolutions([relu]), ("n", 32, 16, 16))
    exporters.sparsify_onnx(tmp_path / "dense.onnx", tmp_path / "sparse.onnx")
    assert any(node.domain == DOMAIN for node in onnx.load(tmp_path / "sparse.onnx").graph.node)
    beside = tmp_path / operators.library_name(operators.host())
    assert beside.read_bytes() == zig.read_bytes()
    command = [sys.executable, "-c", SCRIPT, str(beside), "dense.onnx", "sparse.onnx", "sparse.onnx"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    dense, *sparse = np.load(tmp_path / "outputs.npy")
    for found in sparse:
        np.testing.assert_allclose(found, dense, atol=1e-4 * np.abs(dense).max())
