"""One training at a time in one folder, and the folder is free again when that training is over."""

from __future__ import annotations

from pathlib import Path

import pytest

from compress.errors import InputError
from compress.training.lock import only_run


def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with only_run(tmp_path, first=True), pytest.raises(InputError, match="another training"):
        with_a_second_run(tmp_path)


def test_the_folder_is_free_again_after_a_run_that_failed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stop"):
        failing_run(tmp_path)
    with_a_second_run(tmp_path)


def test_further_processes_of_one_run_share_the_folder(tmp_path: Path) -> None:
    with only_run(tmp_path, first=True), only_run(tmp_path, first=False):
        assert (tmp_path / "lock").read_text()


def with_a_second_run(folder: Path) -> None:
    with only_run(folder, first=True):
        pass


def failing_run(folder: Path) -> None:
    with only_run(folder, first=True):
        raise ValueError("stop")
