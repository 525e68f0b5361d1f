"""Image files decoded to 8-bit arrays of one size: once, into memory, where they fit; else batch by batch."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, UnidentifiedImageError

from compress.data.images import Indices, PixelArray, Pixels
from compress.errors import DataError

MEMORY_LIMIT = 2 * 1024**3
"""Bytes of decoded pixels per split that are kept in memory; a larger split is decoded again each epoch."""

Item = TypeVar("Item")

_CHECKED_WHEN_LARGE = 20_000
_MARGIN = 0.875
_MARGIN_FROM = 64
_UNREADABLE = (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N", "I")


class ImageFiles(Pixels):
    """Images in files, decoded to ``size`` on several threads."""

    def __init__(
        self,
        root: Path,
        names: Sequence[str],
        size: tuple[int, int],
        channels: int,
        memory_limit: int = MEMORY_LIMIT,
    ) -> None:
        """``names`` are relative to ``root``; ``channels`` is 1 (grey) or 3 (colour)."""
        self.size = size
        self._root = root
        self._names = names
        self._channels = channels
        self._kept: PixelArray | None = None
        self._checked = False
        self.fits = len(names) * size[0] * size[1] * channels <= memory_limit

    def __len__(self) -> int:
        return len(self._names)

    def prepare(self) -> None:
        """Decode everything if it fits; else look at the headers of up to 20,000 files spread over the split.

        Raises:
            DataError: images cannot be read: the first ten are named, and how many there are.
        """
        if self._kept is not None or self._checked:
            return
        if self.fits:
            self._kept = PixelArray(self._decode(np.arange(len(self))))
        else:
            step = -(-len(self) // _CHECKED_WHEN_LARGE)
            self._refuse(_each(_header_fault, [self._root / name for name in self._names[::step]]))
            self._checked = True

    def read(self, indices: Indices) -> torch.Tensor:
        if self.fits:
            self.prepare()
            assert self._kept is not None
            return self._kept.read(indices)
        return self._decode(indices)

    def _decode(self, indices: Indices) -> torch.Tensor:
        images = np.empty((len(indices), *self.size, self._channels), dtype=np.uint8)

        def decode(slot: int) -> str | None:
            path = self._root / self._names[indices[slot]]
            try:
                images[slot] = read_image(path, self.size, self._channels)
            except _UNREADABLE as error:
                return _reason(path, error)
            return None

        self._refuse(_each(decode, range(len(indices))))
        return torch.from_numpy(images)

    def _refuse(self, faults: Iterator[str | None]) -> None:
        bad = [fault for fault in faults if fault is not None]
        if bad:
            refuse_images(self._root, bad, len(self))


def read_image(path: Path, size: tuple[int, int], channels: int) -> npt.NDArray[np.uint8]:
    """Return the image in ``path`` as uint8 of shape (height, width, channels).

    An image of another size is scaled (bicubic) until it covers the wanted one, with the usual margin of 1/8 from 64
    pixels on, and its centre is cut out.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(path) as file:
            image = _eight_bit(file).convert("L" if channels == 1 else "RGB")
    height, width = size
    if (image.height, image.width) != (height, width):
        image = _covering(image, height, width)
    return np.asarray(image).reshape(height, width, channels)


def image_size(path: Path) -> tuple[int, int]:
    """Return height and width from the header of an image file.

    Raises:
        DataError: it is not an image.
    """
    try:
        with Image.open(path) as file:
            return file.height, file.width
    except _UNREADABLE as error:
        raise DataError(f"cannot be read ({_reason(path, error)})", where=str(path)) from error


def refuse_images(root: Path, faults: Sequence[str], total: int) -> None:
    """Raise a :class:`DataError` that names the first ten ``faults`` and their number."""
    listed = ", ".join(os.path.relpath(fault, root) if os.path.isabs(fault) else fault for fault in faults[:10])
    more = f" and {len(faults) - 10} more" if len(faults) > 10 else ""
    raise DataError(
        f"{len(faults)} of {total} images cannot be read: {listed}{more}",
        where=str(root),
        hint="remove or replace them",
    )


def _covering(image: Image.Image, height: int, width: int) -> Image.Image:
    margin = _MARGIN if min(height, width) >= _MARGIN_FROM else 1.0
    scale = max(height / image.height, width / image.width) / margin
    large = (max(round(image.width * scale), width), max(round(image.height * scale), height))
    image = image.resize(large, Image.Resampling.BICUBIC)
    left, top = (large[0] - width) // 2, (large[1] - height) // 2
    return image.crop((left, top, left + width, top + height))


def _eight_bit(image: Image.Image) -> Image.Image:
    if image.mode in _SIXTEEN_BIT:
        # Pillow clips 16-bit values when it converts; the upper byte is what is meant.
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    return image


def _header_fault(path: Path) -> str | None:
    try:
        with Image.open(path):
            return None
    except _UNREADABLE as error:
        return _reason(path, error)


def _reason(path: Path, error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"{path} (not an image)" if path.stat().st_size else f"{path} (empty)"
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{path} ({said})"


def _each(function: Callable[[Item], str | None], items: Sequence[Item]) -> Iterator[str | None]:
    if len(items) < 8:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 16), thread_name_prefix="decode") as pool:
        yield from pool.map(function, items, chunksize=64)
