"""Folders of images: layouts, splits, and everything that can be wrong with them."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from compress import data
from compress.errors import DataError

MakeImages = Callable[..., Path]
ARCHIVE = Path(__file__).parents[4] / "shared" / "data" / "cifar10-jpeg.tar.xz"


@pytest.mark.parametrize("held_back", ["val", "test", "validation"])
def test_train_and_held_back_folders_are_taken_as_they_are(make_images: MakeImages, held_back: str) -> None:
    root = make_images("train/cat", "train/dog", f"{held_back}/cat", f"{held_back}/dog")
    source = data.load(f"imagefolder:{root}")
    assert source.classes == ["cat", "dog"]
    assert (len(source.train), len(source.val)) == (8, 8)
    assert source.notes == []
    image, label = source.val[7]
    raw = np.asarray(Image.open(root / held_back / "dog" / "003.png")).transpose(2, 0, 1) / 255
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    assert label == 1
    assert np.allclose(image.numpy(), (raw - mean[:, None, None]) / std[:, None, None], atol=1e-6)


def test_a_single_folder_is_split_by_class_and_said(make_images: MakeImages) -> None:
    root = make_images("cat", "dog", count=10)
    source = data.load(f"imagefolder:{root}", seed=3)
    assert torch.bincount(source.val.labels).tolist() == [2, 2]
    assert torch.bincount(source.train.labels).tolist() == [8, 8]
    assert "4 of 20 images (20% of each class, seed 3) are held back" in source.notes[0]
    assert data.load(f"imagefolder:{root}", seed=3).fingerprint == source.fingerprint
    assert data.load(f"imagefolder:{root}", seed=4).fingerprint != source.fingerprint
    everything = [image for part in (source.train, source.val) for image, _ in (part[i] for i in range(len(part)))]
    assert len({image.numpy().tobytes() for image in everything}) == 20


def test_decoding_again_each_epoch_gives_the_same_batches(make_images: MakeImages) -> None:
    root = make_images("train/a", "train/b", "val/a", "val/b", count=10)
    kept = data.load(f"imagefolder:{root}")
    streamed = data.load(f"imagefolder:{root}", memory_limit=1000)
    assert "decoded again each epoch" in " ".join(streamed.notes)
    pairs = zip(kept.training.epoch(5, seed=0, epoch=1), streamed.training.epoch(5, seed=0, epoch=1), strict=True)
    assert all(torch.equal(a.inputs[0], b.inputs[0]) and torch.equal(a.target, b.target) for a, b in pairs)


def test_images_of_another_size_and_mode_are_scaled_and_cut(make_images: MakeImages, tmp_path: Path) -> None:
    root = make_images("a", "b", size=(60, 90), mode="L")
    Image.new("RGBA", (50, 200), (255, 0, 0, 255)).save(root / "a" / "red.png")
    Image.fromarray(np.full((100, 100), 65535, dtype=np.uint16)).save(root / "b" / "deep.png")
    source = data.load(f"imagefolder:{root}", preprocessing={"mean": [0.0] * 3, "std": [1.0] * 3, "size": [48, 64]})
    images = torch.cat(
        [batch.inputs[0] for split in (source.training, source.validation) for batch in split.in_order(9)]
    )
    assert images.shape == (10, 3, 48, 64)
    assert any(torch.equal(image, torch.tensor([1.0, 0, 0]).view(3, 1, 1).expand(3, 48, 64)) for image in images)
    assert any(bool((image == 1).all()) for image in images)


def test_images_of_several_sizes_without_a_network_become_224(make_images: MakeImages) -> None:
    root = make_images("a", "b")
    Image.new("RGB", (40, 50)).save(root / "a" / "other.png")
    source = data.load(f"imagefolder:{root}")
    assert source.preprocessing is not None
    assert source.preprocessing.size == [224, 224]
    assert "differ in size" in " ".join(source.notes)


def test_unreadable_images_are_named_before_work_starts(make_images: MakeImages) -> None:
    root = make_images("train/a", "train/b", "val/a", "val/b", count=12)
    (root / "train/a/000.png").write_bytes(b"")
    (root / "train/b/001.png").write_text("hello")
    whole = (root / "train/b/002.png").read_bytes()
    (root / "train/b/002.png").write_bytes(whole[: len(whole) // 2])
    source = data.load(f"imagefolder:{root}", preprocessing={"size": [32, 32]})
    with pytest.raises(DataError) as caught:
        source.prepare()
    said = str(caught.value)
    assert "3 of 24 images cannot be read" in said
    assert all(name in said for name in ("a/000.png (empty)", "b/001.png (not an image)", "b/002.png"))
    assert "\n" not in said


def test_of_many_unreadable_images_ten_are_named(make_images: MakeImages) -> None:
    root = make_images("train/a", "train/b", "val/a", "val/b", count=20)
    for path in (root / "train").rglob("*.png"):
        path.write_bytes(b"no")
    for limit in (2**31, 0):
        source = data.load(f"imagefolder:{root}", preprocessing={"size": [32, 32]}, memory_limit=limit)
        with pytest.raises(DataError, match=r"40 of 40 images cannot be read: .* and 30 more; remove or replace"):
            source.prepare()


def test_bad_layouts_are_named(make_images: MakeImages, tmp_path: Path) -> None:
    def said(root: Path) -> str:
        with pytest.raises(DataError) as caught:
            data.load(f"imagefolder:{root}")
        return str(caught.value)

    empty = make_images("train/a", "val/a", name="empty")
    for number in range(12):
        (empty / "train" / f"b{number:02}").mkdir()
    assert "12 of 13 classes have no images: b00" in said(empty)
    assert "and 2 more" in said(empty)

    assert "val/ but no train/" in said(make_images("val/a", name="untrained"))
    assert "val/ lacks b; train/ lacks c" in said(make_images("train/a", "train/b", "val/a", "val/c", name="differing"))
    assert "class b has a single image" in said(_single(make_images("a", "b", name="single")))

    (tmp_path / "nothing").mkdir()
    assert "has no class folders" in said(tmp_path / "nothing")
    (tmp_path / "file").write_text("")
    assert "is a file" in said(tmp_path / "file")


def _single(root: Path) -> Path:
    for path in sorted((root / "b").iterdir())[1:]:
        path.unlink()
    return root


@pytest.mark.skipif(not ARCHIVE.exists(), reason="../shared/data/cifar10-jpeg.tar.xz is not here")
def test_cifar10_as_jpeg_files(tmp_path: Path) -> None:
    with tarfile.open(ARCHIVE) as archive:
        for number, member in enumerate(archive):
            if number > 20:
                break
            archive.extract(member, tmp_path, filter="data")
    found = sorted((tmp_path / "train" / "airplane").iterdir())
    other = tmp_path / "train" / "bird"
    other.mkdir()
    for path in found[::2]:
        path.rename(other / path.name)
    source = data.load(f"imagefolder:{tmp_path / 'train'}")
    source.prepare()
    (batch,) = source.training.epoch(64, seed=0, epoch=0)
    assert batch.inputs[0].shape[1:] == (3, 32, 32)
    assert 0.3 < float(batch.inputs[0].std()) < 2
