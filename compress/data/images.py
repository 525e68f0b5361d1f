"""Labelled images as a map-style data set that also hands out whole batches, transformed at once in torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F
from torch.utils.data import Dataset

from compress.data.randomness import draw
from compress.info import Preprocessing

Indices = npt.NDArray[np.int64]

AUGMENT_FROM = 28
"""Images with a shorter side below this many pixels are never augmented: a mirrored digit is another digit."""


@dataclass(frozen=True)
class Augmentation:
    """Mirror half of the images left to right, and shift each by up to ``pad`` pixels, filling with black."""

    flip: bool = True
    pad: int = 4


class Pixels(ABC):
    """Where the 8-bit images of one split come from."""

    size: tuple[int, int]
    """Height and width of every image in pixels."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of images."""

    @abstractmethod
    def read(self, indices: Indices) -> torch.Tensor:
        """Return the images at ``indices``: uint8, shape (batch, height, width, channels)."""

    @abstractmethod
    def prepare(self) -> None:
        """Load into memory what is going to be kept there."""


class PixelArray(Pixels):
    """Images held decoded in memory."""

    def __init__(self, images: torch.Tensor) -> None:
        assert images.dtype == torch.uint8
        assert images.ndim == 4
        self._images = images
        self.size = (images.shape[1], images.shape[2])

    def __len__(self) -> int:
        return len(self._images)

    def read(self, indices: Indices) -> torch.Tensor:
        return self._images[torch.from_numpy(indices)]

    def prepare(self) -> None:
        """Nothing is left to load."""


class LabelledImages(Dataset[tuple[torch.Tensor, int]]):
    """One split: ``dataset[i]`` is ``(image, label)``; :meth:`batch` gives many at once, optionally augmented.

    An image is float32 of shape (channels, height, width), normalised as ``preprocessing`` says.
    """

    def __init__(
        self,
        pixels: Pixels,
        labels: npt.NDArray[np.int64],
        preprocessing: Preprocessing,
        augmentation: Augmentation | None = None,
    ) -> None:
        assert len(pixels) == len(labels)
        self.labels = torch.from_numpy(np.asarray(labels, dtype=np.int64))
        self.preprocessing = preprocessing
        self.augmentation = augmentation
        self._pixels = pixels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        images, labels = self.batch(np.array([index % len(self)]))
        return images[0], int(labels[0])

    def prepare(self) -> None:
        """Load into memory what is going to be kept there. Raises :class:`DataError` for unreadable images."""
        self._pixels.prepare()

    def batch(self, indices: Indices, augment_key: tuple[int, int] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Return images (batch, channels, height, width) and labels (batch,).

        Args:
            indices: which samples, shape (batch,).
            augment_key: seed and epoch. Each sample's change is drawn from these and its index, so it does not depend
                on the batch it is in; None leaves the images as they are.
        """
        images = self._pixels.read(indices)
        if augment_key is not None and self.augmentation is not None:
            images = _augmented(images, self.augmentation, draw(*augment_key, "augmentation", indices))
        return self._normalised(images), self.labels[torch.from_numpy(indices)]

    def _normalised(self, images: torch.Tensor) -> torch.Tensor:
        target = self.preprocessing
        values = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        if values.shape[1] != target.channels:
            values = _with_channels(values, target.channels)
        height, width = target.size
        if values.shape[2:] != (height, width):
            values = F.interpolate(values, (height, width), mode="bilinear", antialias=True).round_().clamp_(0, 255)
        mean = torch.tensor(target.mean).view(1, -1, 1, 1)
        std = torch.tensor(target.std).view(1, -1, 1, 1)
        return values.div_(255).sub_(mean).div_(std)


def _with_channels(values: torch.Tensor, channels: int) -> torch.Tensor:
    grey = values
    if values.shape[1] == 3:
        # ITU-R BT.601 luma, as Pillow converts to "L".
        grey = (values * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True).round_()
    return grey.repeat(1, channels, 1, 1)


def _augmented(images: torch.Tensor, augmentation: Augmentation, hashes: npt.NDArray[np.uint64]) -> torch.Tensor:
    """Shift and mirror every image by one gather; ``images`` is (batch, height, width, channels)."""
    count, height, width, _ = images.shape
    pad = augmentation.pad
    span = np.uint64(2 * pad + 1)
    down = torch.from_numpy(((hashes >> np.uint64(8)) % span).astype(np.int64)) - pad
    right = torch.from_numpy(((hashes >> np.uint64(24)) % span).astype(np.int64)) - pad
    rows = torch.arange(height).expand(count, height) + down[:, None]
    columns = torch.arange(width).expand(count, width) + right[:, None]
    if augmentation.flip:
        mirror = torch.from_numpy((hashes & np.uint64(1)).astype(bool))
        columns = torch.where(mirror[:, None], columns.flip(1), columns)
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    batch = torch.arange(count)[:, None, None]
    moved = images[batch, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None, :]]
    return moved * inside[..., None]
