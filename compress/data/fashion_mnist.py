"""``fashion-mnist:DIR``: Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017) in its IDX files, compressed or not."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from compress.data.arrays import Part, source_of
from compress.data.images import Augmentation
from compress.data.preprocessing import Wanted, complete
from compress.data.source import DataSource
from compress.errors import DataError

CLASSES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
_MEAN = [0.2860]
_STD = [0.3530]
_FOLDERS = ("", "raw", "FashionMNIST/raw")
_LARGEST = 1 << 30


def load(ref: str, folder: Path, asked: Wanted, augmentation: Augmentation | None) -> DataSource:
    """Load 60,000 training and 10,000 test images from the four IDX files under ``folder``.

    Raises:
        DataError: a file is missing, truncated, not IDX, or images and labels differ in number.
    """
    train, val = (_part(folder, name) for name in ("train", "t10k"))
    return source_of(
        ref,
        train,
        val,
        classes=CLASSES,
        preprocessing=complete(asked, mean=_MEAN, std=_STD, size=list(train[0].shape[1:3])),
        augmentation=augmentation,
    )


def _part(folder: Path, name: str) -> Part:
    path = _find(folder, f"{name}-images-idx3-ubyte")
    images = _read_idx(path, dimensions=3)
    labels = _read_idx(_find(folder, f"{name}-labels-idx1-ubyte"), dimensions=1)
    if len(images) != len(labels):
        raise DataError(f"has {len(images)} images for {len(labels)} labels", where=str(path))
    return images[..., None], labels.astype(np.int64)


def _find(folder: Path, name: str) -> Path:
    if not folder.is_dir():
        raise DataError("no such folder", where=str(folder), hint="give the folder that holds the four IDX files")
    for inner in _FOLDERS:
        for suffix in ("", ".gz"):
            path = folder / inner / f"{name}{suffix}"
            if path.is_file():
                return path
    raise DataError(f"has no {name} (or {name}.gz)", where=str(folder), hint="put the four Fashion-MNIST files there")


def _read_idx(path: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """Read an IDX file of bytes: two zeros, type 8, number of dimensions, each size as a big-endian 32-bit integer."""
    header_size = 4 + 4 * dimensions
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as stream:
            header = stream.read(header_size)
            if len(header) < header_size or header[:4] != bytes((0, 0, 8, dimensions)):
                raise DataError(f"is not an IDX file of bytes in {dimensions} dimensions", where=str(path))
            shape = [int(size) for size in np.frombuffer(header[4:], dtype=">u4")]
            expected = math.prod(shape)
            if not 0 < expected <= _LARGEST:
                raise DataError(f"claims {expected} bytes, expected 1 to {_LARGEST}", where=str(path))
            content = stream.read(expected + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot be read ({error})", where=str(path), hint="copy it again") from error
    if len(content) != expected:
        many = "more" if len(content) > expected else f"only {len(content)}"
        raise DataError(
            f"holds {many} bytes where its header promises {expected}", where=str(path), hint="copy it again"
        )
    return np.frombuffer(content, dtype=np.uint8).reshape(shape).copy()
