"""The library is built once, by what compiler there is, and whoever lacks one is told."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from compress import operators
from compress.errors import UnavailableError
from exporters.sparse import compiler, library

ROOT = Path(__file__).parents[3]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(library, "INSTALLED", tmp_path / "nothing installed")
    return tmp_path


def fake(folder: Path, name: str, text: str) -> compiler.Compiler:
    """A compiler that is a shell script."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return compiler.Compiler(name, (str(path),))


WRITES = 'for last; do :; done; echo built > "$last"'  # the last argument is the output


def test_the_library_exports_its_entry_and_says_what_it_uses() -> None:
    loaded = ctypes.CDLL(str(library.find()))
    loaded.compress_sparse_isa.restype = ctypes.c_char_p
    assert loaded.compress_sparse_isa().decode() in compiler.instruction_sets(operators.host())
    assert loaded.RegisterCustomOps


def test_the_library_needs_nothing_but_the_c_library() -> None:
    if shutil.which("readelf") is None:
        pytest.skip("readelf is not installed")
    told = subprocess.run(["readelf", "-d", str(library.find())], capture_output=True, text=True, check=True).stdout
    needed = [line.split("[")[1].rstrip("]") for line in told.splitlines() if "NEEDED" in line]
    assert all(name.startswith(("libc.", "libm.", "ld-linux", "libpthread", "libdl.")) for name in needed), needed


def test_the_library_stays_when_it_is_closed() -> None:
    """What it made outlives the sessions: destructors that run at the end of the process must still be there."""
    code = (
        "import ctypes, _ctypes, sys; loaded = ctypes.CDLL(sys.argv[1]); _ctypes.dlclose(loaded._handle); "
        "print(sys.argv[1] in open('/proc/self/maps').read())"
    )
    command = [sys.executable, "-c", code, str(library.find())]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"


def test_a_compiler_that_fails_is_followed_by_the_next(tmp_path: Path) -> None:
    bad, good = fake(tmp_path, "bad", "echo 'error: no such thing' >&2; exit 1"), fake(tmp_path, "good", WRITES)
    used = compiler.compile_library(tmp_path / "library.so", only=[bad, good])
    assert used is good
    assert (tmp_path / "library.so").read_text() == "built\n"


def test_where_no_compiler_works_the_reasons_are_told_and_nothing_is_left(tmp_path: Path) -> None:
    bad = fake(tmp_path, "bad", "echo 'fatal error: cc1plus is missing' >&2; exit 1")
    gone = compiler.Compiler("gone", (str(tmp_path / "gone"),))
    with pytest.raises(UnavailableError, match=r"bad: .*cc1plus is missing; gone: .*No such file.*pip install"):
        compiler.compile_library(tmp_path / "library.so", only=[bad, gone])
    with pytest.raises(UnavailableError, match="no C\\+\\+ compiler"):
        compiler.compile_library(tmp_path / "library.so", only=[])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad"]


def test_platforms_without_kernels_are_refused(cache: Path) -> None:
    with pytest.raises(UnavailableError, match="linux-x86_64"):
        library.find("darwin-arm64")


def test_it_is_built_once_and_then_found(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Path] = []

    def build(path: Path, platform: str) -> None:
        built.append(path)
        path.write_text(platform)

    monkeypatch.setattr(compiler, "compile_library", build)
    assert library.find() == library.find() == built[0]
    assert len(built) == 1
    assert built[0].name == operators.library_name(operators.host())
    monkeypatch.setattr(compiler, "key", lambda _platform: "other sources")
    assert library.find() != built[0]
    assert len(built) == 2


def test_an_installed_library_is_taken(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "INSTALLED", cache)
    path = cache / operators.library_name(operators.host())
    path.write_text("installed")
    assert library.find() == path


def test_processes_that_start_together_build_it_once(cache: Path) -> None:
    script = cache / "slow"
    fake(cache, "slow", f"echo x >> {cache}/calls; sleep 0.05; {WRITES}")
    code = "from exporters.sparse import library; print(library.find())"
    environment = os.environ | {"CXX": str(script), "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cache)}
    code = f"import pathlib; from exporters.sparse import library; library.INSTALLED = pathlib.Path('/none'); {code}"
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)
        for _ in range(3)
    ]
    answers = {process.communicate()[0].strip() for process in running}
    assert len(answers) == 1
    sources = len(list(compiler.SOURCES.glob("*.cpp")))
    steps = sources - 1 + len(compiler.instruction_sets(operators.host())) + 1
    assert len((cache / "calls").read_text().split()) == steps


def test_a_cache_that_cannot_be_written_is_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache / "file"))
    with pytest.raises(UnavailableError, match="XDG_CACHE_HOME"):
        library.find()


def test_the_c_library_it_needs_is_read_from_it(tmp_path: Path) -> None:
    path = tmp_path / "library.so"
    path.write_bytes(b"\0GLIBC_2.2.5\0GLIBC_2.17\0GLIBC_2.9\0")
    assert compiler.glibc_needed(path) == "2.17"
    path.write_bytes(b"none")
    assert compiler.glibc_needed(path) is None
