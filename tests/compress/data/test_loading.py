"""References to data sets, and what they share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from compress import data
from compress.errors import DataError


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("digit", "no such data set; use digits, imagefolder:DIR"),
        ("imagenet:/tmp", "no such data set"),
        ("imagefolder:", "names no folder; write imagefolder:DIR"),
        ("imagefolder:/nowhere/at/all", "/nowhere/at/all: no such folder"),
        ("cifar10:/nowhere", "/nowhere: no such folder"),
        ("fashion-mnist:/nowhere", "/nowhere: no such folder"),
    ],
)
def test_a_bad_reference_is_named(ref: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        data.load(ref)


def test_digits_are_real_split_by_class_and_normalised() -> None:
    source = data.load("digits")
    assert (len(source.train), len(source.val)) == (1438, 359)
    assert source.classes == [str(digit) for digit in range(10)]
    counts = torch.bincount(source.val.labels)
    assert counts.min() >= 35
    images, _ = next((batch.inputs[0], batch.target) for batch in source.training.in_order(1438))
    assert images.shape == (1438, 1, 8, 8)
    assert abs(float(images.mean())) < 0.01
    assert abs(float(images.std()) - 1) < 0.01


def test_digits_take_the_size_and_channels_that_the_network_asks_for() -> None:
    source = data.load("digits", preprocessing={"mean": [0.5] * 3, "std": [0.25] * 3, "size": [32, 24]})
    image, label = source.train[0]
    assert image.shape == (3, 32, 24)
    assert torch.equal(image[0], image[2])
    assert 0 <= label < 10
    assert source.preprocessing is not None
    assert source.preprocessing.channels == 3


@pytest.mark.parametrize(
    "preprocessing",
    [
        {"mean": [0.5], "std": None},
        {"mean": [0.5], "std": [0.0]},
        {"mean": [0.5, 0.5], "std": [1.0, 1.0], "channels": 3},
        {"size": [8]},
        {"size": [0, 8]},
        {"channels": "many"},
    ],
)
def test_malformed_preprocessing_is_refused(preprocessing: dict[str, object]) -> None:
    with pytest.raises(DataError, match="preprocessing"):
        data.load("digits", preprocessing=preprocessing)


def test_an_epoch_depends_on_seed_and_epoch_and_can_be_entered_anywhere() -> None:
    split = data.load("digits").training
    whole = [batch.target for batch in split.epoch(100, seed=1, epoch=2)]
    assert len(whole) == split.steps(100) == 14
    rest = [batch.target for batch in split.epoch(100, seed=1, epoch=2, start=9)]
    assert all(torch.equal(a, b) for a, b in zip(whole[9:], rest, strict=True))
    assert not torch.equal(whole[0], next(split.epoch(100, seed=1, epoch=3)).target)
    assert not torch.equal(whole[0], next(split.epoch(100, seed=2, epoch=2)).target)


def test_processes_share_every_batch_and_the_validation_split() -> None:
    source = data.load("digits")
    shares = [data.Share(rank, 4) for rank in range(4)]
    whole = [batch.target for batch in source.training.epoch(64, seed=0, epoch=0)]
    parts = [[batch.target for batch in source.training.epoch(64, seed=0, epoch=0, share=share)] for share in shares]
    for step, batch in enumerate(whole):
        assert torch.equal(torch.cat([part[step] for part in parts]), batch)
    held = sum(len(batch) for share in shares for batch in source.validation.in_order(50, share))
    assert held == 359


def test_a_data_set_smaller_than_the_batch_is_one_batch() -> None:
    split = data.load("digits").validation
    assert split.steps(1000) == 1
    assert [len(batch) for batch in split.epoch(1000, seed=0, epoch=0)] == [359]
    share = data.Share(0, 2)
    assert [len(batch) for batch in split.epoch(1000, seed=0, epoch=0, share=share)] == [179]


def test_the_fingerprint_changes_with_the_preprocessing() -> None:
    same = data.load("digits").fingerprint
    assert data.load("digits").fingerprint == same
    assert data.load("digits", preprocessing={"size": [16, 16]}).fingerprint != same


def test_samples_are_real_validation_images() -> None:
    source = data.load("digits")
    (images,) = source.samples(5)
    assert torch.equal(images, torch.stack([source.val[index][0] for index in range(5)]))
    assert len(source.samples(10_000)[0]) == 359


def test_a_relative_folder_in_the_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "pictures").mkdir()
    with pytest.raises(DataError, match="has no class folders"):
        data.load("imagefolder:~/pictures")
