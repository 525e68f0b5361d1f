"""The user's own loaders."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from compress import data
from compress.errors import CompressError, DataError

LOADERS = """
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

class Noisy(Dataset):
    classes = ["a", "b"]
    def __len__(self):
        return 20
    def __getitem__(self, index):
        return torch.full((2,), float(index)) + torch.rand(2) / 10, index % 2

def loaders():
    return DataLoader(Noisy(), 5, shuffle=True), DataLoader(Noisy(), 4)

def datasets():
    return Noisy(), Noisy()

def one():
    return DataLoader(Noisy(), 5)

def empty():
    return [], []

def numbers():
    return [1, 2], [3]

def failing():
    raise KeyError("no disk")

def endless():
    def batches():
        while True:
            yield torch.zeros(2, 3), torch.zeros(2)
    return batches(), batches()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(LOADERS)
    return path


@pytest.mark.parametrize("name", ["loaders", "datasets"])
def test_epochs_repeat_and_can_be_entered_anywhere(file: Path, name: str) -> None:
    source = data.load(f"{file}:{name}")
    assert source.classes == ["a", "b"]

    def read(epoch: int, start: int = 0) -> list[torch.Tensor]:
        batches = []
        for batch in source.training.epoch(5, seed=1, epoch=epoch, start=start):
            torch.rand(3)  # what a training step draws must not shift the loader's numbers
            batches.append(batch.inputs[0])
        return batches

    whole = read(0)
    torch.manual_seed(99)
    assert len(whole) == source.training.steps(5) == 4
    assert all(torch.equal(a, b) for a, b in zip(whole, read(0), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(whole[2:], read(0, start=2), strict=True))
    assert not torch.equal(whole[0], read(1)[0])


def test_processes_share_a_loaders_batches(file: Path) -> None:
    source = data.load(f"{file}:loaders")
    parts = [list(source.training.epoch(5, seed=0, epoch=0, share=data.Share(rank, 2))) for rank in range(2)]
    whole = list(source.training.epoch(5, seed=0, epoch=0))
    assert [len(part[0]) for part in parts] == [2, 3]
    assert parts[0][0].total == 5
    assert torch.equal(torch.cat([part[1].inputs[0] for part in parts]), whole[1].inputs[0])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("one", r"returned a DataLoader, expected \(train_loader, val_loader\)"),
        ("empty", "training part is empty"),
        ("failing", "no disk"),
        ("absent", "absent"),
    ],
)
def test_a_bad_factory_is_named(file: Path, name: str, said: str) -> None:
    with pytest.raises(CompressError, match=said) as caught:
        data.load(f"{file}:{name}")
    assert "\n" not in str(caught.value)


def test_batches_that_are_not_pairs_and_loaders_without_length_are_named(file: Path) -> None:
    numbers = data.load(f"{file}:numbers")
    with pytest.raises(DataError, match="a batch is a int, expected"):
        list(numbers.validation.in_order(4))
    with pytest.raises(DataError, match="has no length"):
        data.load(f"{file}:endless").training.steps(4)
