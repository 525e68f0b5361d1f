"""Whole batches of images: the same as one by one, augmented as the definition says."""

from __future__ import annotations

import numpy as np
import torch

from compress.data.images import Augmentation, LabelledImages, PixelArray
from compress.info import Preprocessing

PLAIN = Preprocessing(mean=[0.0] * 3, std=[1.0] * 3, size=[32, 32], channels=3)


def _images(count: int = 64, augmentation: Augmentation | None = None) -> tuple[LabelledImages, torch.Tensor]:
    pixels = torch.randint(1, 256, (count, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return LabelledImages(PixelArray(pixels), np.arange(count), PLAIN, augmentation), pixels


def test_a_batch_holds_what_single_items_hold() -> None:
    images, pixels = _images()
    batch, labels = images.batch(np.array([5, 3, 60]))
    assert labels.tolist() == [5, 3, 60]
    for row, index in enumerate([5, 3, 60]):
        assert torch.equal(batch[row], images[index][0])
        assert torch.equal(batch[row], pixels[index].permute(2, 0, 1) / 255)


def test_augmentation_shifts_and_mirrors_each_image_whole() -> None:
    images, pixels = _images(augmentation=Augmentation(flip=True, pad=4))
    batch, _ = images.batch(np.arange(64), augment_key=(0, 0))
    padded = torch.nn.functional.pad(pixels.permute(0, 3, 1, 2) / 255, (4, 4, 4, 4))
    mirrored, shifts = 0, set()
    for row in range(64):
        found = [
            (flip, down, right)
            for flip in (False, True)
            for down in range(9)
            for right in range(9)
            if torch.equal(
                batch[row].flip(2) if flip else batch[row], padded[row, :, down : down + 32, right : right + 32]
            )
        ]
        assert len(found) == 1, row
        mirrored += found[0][0]
        shifts.add(found[0][1:])
    assert 16 < mirrored < 48
    assert len(shifts) > 30


def test_augmentation_of_a_sample_does_not_depend_on_its_batch() -> None:
    images, _ = _images(augmentation=Augmentation())
    one, _ = images.batch(np.array([9]), augment_key=(4, 2))
    many, _ = images.batch(np.array([1, 9, 30]), augment_key=(4, 2))
    other, _ = images.batch(np.array([9]), augment_key=(4, 3))
    assert torch.equal(one[0], many[1])
    assert not torch.equal(one[0], other[0])


def test_colour_becomes_grey_by_luma() -> None:
    pixels = torch.zeros(1, 4, 4, 3, dtype=torch.uint8)
    pixels[..., 1] = 200
    grey = Preprocessing(mean=[0.0], std=[1.0], size=[4, 4], channels=1)
    image, _ = LabelledImages(PixelArray(pixels), np.array([0]), grey)[0]
    assert image.shape == (1, 4, 4)
    assert torch.allclose(image * 255, torch.tensor(117.0))
