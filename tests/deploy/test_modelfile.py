from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from compress.errors import InputError
from deploy.modelfile import inspect
from deploy.profiling import profile


def test_identifies_a_file_by_content(net: Path) -> None:
    file = inspect(net)
    assert (file.name, file.precision, file.opset, file.nodes) == ("base.onnx", "fp32", 18, 7)
    assert file.size == net.stat().st_size
    assert len(file.sha256) == 64


def test_sees_half_precision(make_net: Callable[..., Path]) -> None:
    assert inspect(make_net("half.onnx", half=True)).precision == "fp16"


def test_external_data_counts_to_size_and_identity(make_net: Callable[..., Path]) -> None:
    path = make_net("external/net.onnx", external="net.data")
    file = inspect(path)
    assert file.size == path.stat().st_size + (path.parent / "net.data").stat().st_size
    assert list(file.external) == ["net.data"]
    assert profile(path, seconds=0.05).file == file


def _folder(path: Path, net: Path) -> None:
    path.mkdir()


def _truncated(path: Path, net: Path) -> None:
    path.write_bytes(net.read_bytes()[: net.stat().st_size // 2])


def _text(path: Path, net: Path) -> None:
    path.write_text("this is not a network\n" * 20)


def _zip(path: Path, net: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"x" * 100)


def _empty(path: Path, net: Path) -> None:
    path.touch()


def _no_graph(path: Path, net: Path) -> None:
    path.write_bytes(onnx.ModelProto(ir_version=10).SerializeToString())


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path, net: None, "does not exist"),
        (lambda path, net: os.mkfifo(path), "is no regular file"),
        (_folder, "is a folder"),
        (_empty, "is empty"),
        (_truncated, "not an ONNX file, or is truncated"),
        (_text, "not an ONNX file, or is truncated"),
        (_zip, "not an ONNX file, or is truncated"),
        (_no_graph, "holds no graph"),
    ],
)
def test_damaged_files_are_named_in_one_line(
    damage: Callable[[Path, Path], None], says: str, net: Path, tmp_path: Path
) -> None:
    path = tmp_path / "bad.onnx"
    damage(path, net)
    with pytest.raises(InputError, match=says) as raised:
        profile(path)
    assert "\n" not in str(raised.value)
    assert "bad.onnx" in str(raised.value)


def test_every_truncation_of_a_file_is_refused_in_one_line(net: Path, tmp_path: Path) -> None:
    whole = net.read_bytes()
    path = tmp_path / "cut.onnx"
    for length in range(1, len(whole), max(1, len(whole) // 25)):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError) as raised:
            inspect(path)
        assert "\n" not in str(raised.value)


def test_external_data_missing_short_or_outside(make_net: Callable[..., Path]) -> None:
    path = make_net("broken/net.onnx", external="net.data")
    data = path.parent / "net.data"
    with data.open("r+b") as stream:
        stream.truncate(100)
    with pytest.raises(InputError, match="truncated"):
        inspect(path)
    data.unlink()
    with pytest.raises(InputError, match="missing"):
        inspect(path)
    os.symlink("/etc/hostname", data)
    with pytest.raises(InputError, match="outside"):
        inspect(path)


def test_external_data_by_a_climbing_path(make_net: Callable[..., Path]) -> None:
    path = make_net("climbing/net.onnx", external="net.data")
    model = onnx.load(str(path), load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = "../../secret.data"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(InputError, match="outside its folder"):
        inspect(path)
