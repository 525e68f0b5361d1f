"""One library for all versions of ONNX Runtime that the project supports."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from compress import operators
from exporters.sparse import library
from tests.exporters.sparse.building import random_case, session

ROOT = Path(__file__).parents[3]
SCRIPT = """
import sys
import numpy as np, onnxruntime
options = onnxruntime.SessionOptions()
options.register_custom_ops_library(sys.argv[1])
for number in range(int(sys.argv[2])):
    made = onnxruntime.InferenceSession(f"{number}.onnx", options, providers=["CPUExecutionProvider"])
    np.save(f"{number}.npy", made.run(None, dict(np.load(f"{number}.npz")))[0])
print(onnxruntime.__version__)
"""


def oldest() -> str:
    """The oldest version that pyproject.toml allows, such as 1.23."""
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    found = next(re.fullmatch(r"onnxruntime>=([\d.]+)", item) for item in needed if item.startswith("onnxruntime"))
    assert found is not None
    return found[1]


@pytest.mark.slow
def test_the_oldest_supported_version_computes_the_same_with_the_same_library(tmp_path: Path) -> None:
    count, generator = 40, np.random.default_rng(5)
    expected = []
    for number in range(count):
        case = random_case(generator)
        (tmp_path / f"{number}.onnx").write_bytes(case.sparse())
        np.savez(tmp_path / f"{number}.npz", allow_pickle=False, **case.feed())
        expected.append(session(case.sparse()).run(None, case.feed())[0])
    home = tmp_path / "old"
    wanted = f"onnxruntime=={oldest()}.*"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--only-binary=:all:", "--target", str(home)]
    fetched = subprocess.run([*command, wanted], capture_output=True, text=True)
    if fetched.returncode:
        pytest.skip(f"pip cannot fetch {wanted}: {fetched.stderr.strip().splitlines()[-1]}")
    path = shutil.copy(library.find(), tmp_path / operators.library_name(operators.host()))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(path), str(count)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(home)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith(f"{oldest()}.")
    for number, output in enumerate(expected):
        np.testing.assert_array_equal(np.load(tmp_path / f"{number}.npy"), output)
