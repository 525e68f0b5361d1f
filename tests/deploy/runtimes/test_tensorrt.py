"""TensorRT and TensorRT for RTX, as far as they go without a GPU."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from compress.errors import InputError, UnavailableError
from deploy.runtimes import Runtime, cuda, names
from deploy.runtimes.tensorrt import Tensorrt
from deploy.runtimes.tensorrt_base import TensorrtBase, layers_in, nodes_in
from deploy.runtimes.tensorrt_rtx import TensorrtRtx

BOTH = (Tensorrt(), TensorrtRtx())
without_gpu = pytest.mark.skipif(cuda.why_no_gpu() is None, reason="there is a GPU")

# What the driver uses of each class of TensorRT's Python interface.
USED = {
    "": ("ILogger", "IProfiler", "Runtime", "TensorIOMode", "nptype", "__version__"),
    "ILogger": ("ERROR", "INTERNAL_ERROR"),
    "IProfiler": ("report_layer_time",),
    "TensorIOMode": ("INPUT",),
    "Runtime": ("deserialize_cuda_engine",),
    "ICudaEngine": (
        *("num_io_tensors", "get_tensor_name", "get_tensor_mode", "get_tensor_dtype", "get_tensor_shape"),
        *("get_tensor_profile_shape", "create_execution_context"),
    ),
    "IExecutionContext": ("set_input_shape", "set_tensor_address", "get_tensor_shape", "execute_async_v3", "profiler"),
}


@pytest.mark.parametrize("runtime", BOTH, ids=lambda runtime: runtime.name)
def test_the_interface_that_is_installed_has_what_the_driver_uses(runtime: TensorrtBase) -> None:
    try:
        api = runtime.api()
    except UnavailableError as error:
        pytest.skip(error.what)
    for owner, members in USED.items():
        place = getattr(api, owner) if owner else api
        assert not [member for member in members if not hasattr(place, member)]


@without_gpu
@pytest.mark.parametrize("runtime", BOTH, ids=lambda runtime: runtime.name)
def test_without_a_gpu_nothing_is_loaded_and_the_reason_is_said(runtime: TensorrtBase, tmp_path: Path) -> None:
    path = tmp_path / "net.engine"
    path.write_bytes(b"anything")
    with pytest.raises(UnavailableError, match=r"NVIDIA|not installed") as raised:
        runtime.load(path, threads=1)
    assert raised.value.exit_code == 4
    assert names()[runtime.name]
    with pytest.raises(UnavailableError, match="no NVIDIA"):
        cuda.Stream()


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Missing(Tensorrt):
        modules = ("no_such_tensorrt",)

    assert Missing().why_not() == "no_such_tensorrt is not installed: pip install tensorrt"


def test_a_binding_whose_library_is_missing_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torn_tensorrt.py").write_text("raise OSError('libtorn.so.1: cannot open shared object file')")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()

    class Torn(Tensorrt):
        modules = ("torn_tensorrt",)

    with pytest.raises(UnavailableError, match=r"torn_tensorrt cannot be imported \(libtorn\.so\.1: cannot open"):
        Torn().api()


@pytest.mark.parametrize("runtime", BOTH, ids=lambda runtime: runtime.name)
def test_onnx_files_are_no_engines(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"x")
    with pytest.raises(InputError, match=r"reads \.engine and \.plan"):
        runtime.load(tmp_path / "net.onnx", threads=1)


@pytest.mark.parametrize(
    ("name", "nodes", "layers"),
    [
        ("conv1/Conv + Relu", ("conv1/Conv", "Relu"), ("conv1",)),
        ("layer1.0.conv2/Conv + Add_1 + Relu_2", ("layer1.0.conv2/Conv", "Add_1", "Relu_2"), ("layer1.0.conv2",)),
        ("PWN(PWN(a/Sigmoid), a/Mul)", ("a/Sigmoid", "a/Mul"), ("a",)),
        ("conv/Conv + PWN(Clip_3)", ("conv/Conv", "Clip_3"), ("conv",)),
        ("Reformatting CopyNode for Input Tensor 0 to conv1/Conv", (), ()),
        ("{ForeignNode[a/MatMul...b/Add]}", ("a/MatMul", "b/Add"), ("a", "b")),
        ("pool", ("pool",), ()),
        ("", (), ()),
    ],
)
def test_names_of_engines_layers_hold_names_of_nodes(
    name: str, nodes: tuple[str, ...], layers: tuple[str, ...]
) -> None:
    assert nodes_in(name) == nodes
    assert layers_in(name) == layers


@pytest.mark.skipif(cuda.why_no_gpu() is not None, reason="there is no GPU")
def test_memory_on_the_gpu_keeps_what_is_copied_there() -> None:
    stream = cuda.Stream()
    given = np.random.default_rng(0).standard_normal((17, 5)).astype(np.float32)
    back = np.empty_like(given)
    stream.memory("x", given.nbytes)
    stream.copy_in("x", given)
    stream.copy_out("x", back)
    stream.wait()
    np.testing.assert_array_equal(back, given)
    stream.close()
