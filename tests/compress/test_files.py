"""Atomic writes: the old file or the new one, never half of one, and nothing left behind."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from compress.errors import InputError
from compress.files import atomic_path, check_writable, sha256_file, write_bytes, write_text

ROOT = Path(__file__).parent.parent.parent


def test_content_arrives_whole(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "größer\n")
    assert (tmp_path / "a.txt").read_bytes() == "größer\n".encode()
    write_bytes(tmp_path / "a.txt", b"\x00new")
    assert (tmp_path / "a.txt").read_bytes() == b"\x00new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_files_get_the_usual_permissions(tmp_path: Path) -> None:
    write_text(tmp_path / "ours", "x")
    (tmp_path / "theirs").write_text("x")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ours", "theirs")]
    assert modes[0] == modes[1]


def interrupted(path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt


def test_a_failure_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        interrupted(path)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_nothing_is_overwritten_where_that_was_not_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(InputError, match="--force"):
        write_text(path, "new", overwrite=False)
    assert path.read_text() == "old"


@pytest.mark.parametrize(("name", "said"), [("", "is a folder"), ("missing/a.txt", "its folder does not exist")])
def test_impossible_targets_are_refused_before_work_starts(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_writable(tmp_path / name, overwrite=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match="cannot be written to; choose another with -o"):
            check_writable(tmp_path / "a.txt", overwrite=True)
    finally:
        tmp_path.chmod(0o700)


def test_errors_of_the_system_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written") as caught:
        write_text(tmp_path / ("a" * 250), "no room for the temporary file's name")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_killed_run_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    code = (
        "import sys, time; from compress.files import atomic_path\n"
        "with atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half'); print('ready', flush=True); time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"ready"
        process.kill()
        process.wait()
    assert path.read_text() == "old"


def test_hashes_are_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_file(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
