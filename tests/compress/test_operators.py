"""Which library an ONNX file needs, and what is said where it is not there."""

from __future__ import annotations

import contextlib
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import deploy
from compress import operators
from compress.errors import ExportError, InputError
from compress.training.onnx_runner import OnnxRunner
from exporters._runtime import Session
from exporters.sparse import library
from tests.exporters.sparse.building import Case

OTHER = next(platform for platform in operators.PLATFORMS if platform != operators.host())


def sparse(path: Path, named: str | None) -> Path:
    proto = onnx.load_from_string(Case(np.ones((8, 4, 1, 1), np.float32), (1, 4, 8, 8), block=4).sparse())
    if named is not None:
        proto.metadata_props.add(key=operators.KEY, value=named)
    onnx.save(proto, path)
    return path


def test_the_library_beside_the_file_is_found_and_used(tmp_path: Path) -> None:
    name = operators.library_name(operators.host())
    model = sparse(tmp_path / "model.onnx", name)
    shutil.copy(library.find(), tmp_path / name)
    assert operators.library_beside(model) == tmp_path / name
    profile = deploy.profile(model, seconds=0.2)
    assert profile.file.precision == "fp32"
    Session(model).run({"X": np.ones((1, 4, 8, 8), np.float32)})


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (operators.library_name(operators.host()), "is not beside it"),
        (None, "is not beside it"),
        ("../../evil.so", "is not beside it"),
        (operators.library_name(OTHER), f"--target-platform {operators.host()}"),
    ],
)
def test_without_it_the_message_names_the_file(named: str | None, said: str, tmp_path: Path) -> None:
    model = sparse(tmp_path / "model.onnx", named)
    for load in (operators.library_beside, Session, lambda path: deploy.profile(path, seconds=0.1)):
        with pytest.raises(InputError) as caught:
            load(model)
        assert said in str(caught.value)
        assert operators.library_name(operators.host()) in str(caught.value)


def other_machine(data: bytes) -> bytes:
    machine = {"x86_64": 183, "aarch64": 62}[operators.host().rpartition("-")[2]]
    return data[:18] + struct.pack("<H", machine) + data[20:]


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "is empty"),
    "text": (lambda _: b"text", "is no shared library"),
    "random bytes": (lambda data: random.Random(0).randbytes(len(data)), "is no shared library"),
    "cut in its first word": (lambda data: data[:3], "is truncated after 3 bytes"),
    "cut in its header": (lambda data: data[:50], "is truncated after 50 bytes"),
    "cut behind its header": (lambda data: data[:64], "is truncated (64 bytes of"),
    "cut behind its first page": (lambda data: data[:4096], "is truncated (4096 bytes of"),
    "cut in half": (lambda data: data[: len(data) // 2], "is truncated"),
    "cut at its end": (lambda data: data[:-1], "is truncated"),
    "of another machine": (other_machine, f"not for {operators.host().rpartition('-')[2]}"),
    "a program": (lambda data: data[:16] + struct.pack("<H", 1) + data[18:], "is no shared library"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_library_is_told_and_not_loaded(name: str, tmp_path: Path) -> None:
    damage, said = DAMAGE[name]
    library_name = operators.library_name(operators.host())
    model = sparse(tmp_path / "model.onnx", library_name)
    (tmp_path / library_name).write_bytes(damage(library.find().read_bytes()))
    for load in (operators.library_beside, Session, OnnxRunner, deploy.profile):
        with pytest.raises(InputError) as caught:
            load(model)
        assert said in str(caught.value)
        assert library_name in str(caught.value)
        assert "compress export --sparse" in str(caught.value)


def test_a_dense_file_asks_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(Case(np.ones((8, 4), np.float32), (1, 4)).dense())
    assert operators.library_beside(tmp_path / "model.onnx") is None
    assert operators.library_beside(tmp_path / "none.onnx") is None


def test_a_dense_file_that_only_declares_the_domain_asks_for_nothing(tmp_path: Path) -> None:
    """ONNX Runtime writes so, quantising in a process that has registered the library."""
    proto = onnx.load_from_string(Case(np.ones((8, 4), np.float32), (1, 4)).dense())
    proto.opset_import.add(domain=operators.DOMAIN, version=1)
    onnx.save(proto, tmp_path / "model.onnx")
    assert operators.library_beside(tmp_path / "model.onnx") is None


@given(data=st.binary(max_size=200), cut=st.integers(0, 400))
@settings(deadline=None, max_examples=200)
def test_any_bytes_are_looked_at_without_harm(data: bytes, cut: int, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "any.onnx"
    path.write_bytes(data)
    operators.library_beside(path)
    whole = Case(np.ones((4, 4), np.float32), (1, 4), block=4).sparse()
    path.write_bytes(whole[:cut] + data)
    with contextlib.suppress(InputError):  # its header is whole, and names operators that have no library here
        assert operators.library_beside(path) is None


def test_other_faults_keep_their_own_words(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("text")
    with pytest.raises(ExportError, match="cannot load it"):
        Session(tmp_path / "text.onnx")
