from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

import compress
import models
from compress import data as data_sets
from compress.data import DataSource
from compress.errors import CheckpointError, InputError
from compress.search import taught
from compress.search.clock import Clock
from compress.search.encoding import encoding_of
from compress.search.supernet import SuperNet
from compress.search.taught import teach
from compress.search.teaching import Lessons, Teacher
from compress.training import state

LESSONS = Lessons(steps=16, batch_size=32)
IDENTITY = {"network": "digitsnet", "seed": 0}


@pytest.fixture(scope="module")
def digits() -> DataSource:
    return data_sets.load("digits")


def _supernet() -> SuperNet:
    torch.manual_seed(0)
    program = compress.capture(models.create("models:digitsnet"), (torch.zeros(1, 1, 8, 8),))
    return SuperNet(encoding_of(program))


def _taught(
    path: Path, digits: DataSource, said: list[str] | None = None, supernet: SuperNet | None = None, **options: Any
) -> str:
    tell = (said if said is not None else []).append
    return teach(supernet or _supernet(), digits, LESSONS, path, IDENTITY, clock=Clock(), say=tell, **options)


def test_a_killed_training_goes_on_bit_for_bit_and_a_finished_one_is_taken(
    tmp_path: Path, digits: DataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _taught(tmp_path / "whole.pt", digits)
    monkeypatch.setattr(taught, "CHUNK", 5)
    steps: list[int] = []
    learn = Teacher.learn

    def until_killed(self: Teacher, *args: Any, **options: Any) -> list[float]:
        if self.step == 10 and len(steps) < 3:
            raise RuntimeError("killed")
        steps.append(self.step)
        return learn(self, *args, **options)

    monkeypatch.setattr(Teacher, "learn", until_killed)
    path = tmp_path / "parts.pt"
    with pytest.raises(RuntimeError, match="killed"):
        _taught(path, digits, save_seconds=0.0)
    steps.append(-1)
    assert _taught(path, digits, save_seconds=0.0) == whole
    assert steps == [0, 5, -1, 10, 15]
    assert _taught(path, digits) == whole
    assert len(steps) == 5


def test_one_worker_trains_and_the_others_wait_for_it(tmp_path: Path, digits: DataSource) -> None:
    path, said, made = tmp_path / "supernet.pt", list[str](), list[str]()

    def work(supernet: SuperNet) -> None:
        made.append(_taught(path, digits, said, supernet))

    threads = [threading.Thread(target=work, args=(_supernet(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2
    assert len(set(made)) == 1
    assert len(said) <= 1


def test_a_file_of_another_training_is_refused(tmp_path: Path, digits: DataSource) -> None:
    path = tmp_path / "supernet.pt"
    _taught(path, digits)
    with pytest.raises(InputError, match="seed was 0, is now 1"):
        teach(_supernet(), digits, LESSONS, path, {**IDENTITY, "seed": 1}, clock=Clock(), say=print)
    state.write(path, {"something": 1})
    with pytest.raises(CheckpointError, match="no shared weights"):
        _taught(path, digits)
    path.write_bytes(b"half of")
    with pytest.raises(CheckpointError, match="cannot be read"):
        _taught(path, digits)
