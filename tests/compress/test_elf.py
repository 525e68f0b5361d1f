"""Whether a shared library is whole, without loading it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress import elf, operators
from exporters.sparse import library

MACHINE = operators.host().rpartition("-")[2]


@pytest.fixture(scope="module")
def whole() -> bytes:
    return library.find().read_bytes()


def fault(data: bytes, folder: Path, machine: str = MACHINE) -> str | None:
    path = folder / "library.so"
    path.write_bytes(data)
    return elf.fault(path, machine)


def test_whole_libraries_have_no_fault() -> None:
    """Those of the linkers that made this project's, Python's and numpy's own, whoever that was."""
    import _ctypes

    import numpy

    found = [library.find(), Path(_ctypes.__file__), *Path(numpy.__file__).parent.rglob("*.so")]
    assert len(found) > 5
    assert [path for path in found if elf.fault(path, MACHINE) is not None] == []


def test_a_program_with_its_own_name_for_machines_is_told(whole: bytes, tmp_path: Path) -> None:
    assert fault(whole, tmp_path, "riscv64") == f"is for {MACHINE}, not for riscv64"
    assert fault(whole[:18] + b"\xf3\0" + whole[20:], tmp_path) == f"is for machine 243, not for {MACHINE}"


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_wherever_it_is_cut_that_is_told(data: Any, whole: bytes, tmp_path_factory: Any) -> None:
    length = data.draw(st.one_of(st.integers(0, 200), st.integers(0, len(whole) - 1)))
    assert fault(whole[:length], tmp_path_factory.getbasetemp()) is not None


@settings(max_examples=200, deadline=None)
@given(start=st.integers(0, 120), junk=st.binary(max_size=200))
def test_any_bytes_are_looked_at_without_harm(start: int, junk: bytes, whole: bytes, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.getbasetemp()
    assert fault(junk, folder) is not None
    fault(whole[:start] + junk + whole[start + len(junk) :], folder)


@pytest.mark.slow
def test_what_is_refused_would_have_ended_the_process(whole: bytes, tmp_path: Path) -> None:
    """The reason why it is looked at: the loader itself does not, and dies of it."""
    path = tmp_path / "library.so"
    path.write_bytes(whole[: len(whole) // 2])
    code = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True)
    assert done.returncode < 0
    assert elf.fault(path, MACHINE) is not None
