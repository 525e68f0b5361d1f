"""The runner as it travels: complete, the same every time, and light."""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

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
