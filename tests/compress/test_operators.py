"""Which library an ONNX file needs, and what is said where it is not there."""

from __future__ import annotations

import contextlib
import shutil
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


def test_a_library_that_is_none_is_told(tmp_path: Path) -> None:
    name = operators.library_name(operators.host())
    model = sparse(tmp_path / "model.onnx", name)
    (tmp_path / name).write_text("text")
    with pytest.raises(InputError, match=name):
        Session(model)


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
