"""IDX files, whole and damaged."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from compress import data
from compress.errors import DataError


def _idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes((0, 0, 8, array.ndim)) + sizes + array.astype(np.uint8).tobytes()


def _write(folder: Path, *, compressed: bool = True, inner: str = "") -> Path:
    generator = np.random.default_rng(0)
    place = folder / inner
    place.mkdir(parents=True, exist_ok=True)
    for name, count in (("train", 20), ("t10k", 10)):
        files = {
            f"{name}-images-idx3-ubyte": _idx(generator.integers(0, 256, (count, 28, 28))),
            f"{name}-labels-idx1-ubyte": _idx(generator.integers(0, 10, count)),
        }
        for file, content in files.items():
            path = place / (f"{file}.gz" if compressed else file)
            path.write_bytes(gzip.compress(content) if compressed else content)
    return folder


def test_compressed_and_raw_files_hold_the_same(tmp_path: Path) -> None:
    packed = data.load(f"fashion-mnist:{_write(tmp_path / 'a')}")
    raw = data.load(f"fashion-mnist:{_write(tmp_path / 'b', compressed=False, inner='FashionMNIST/raw')}")
    assert packed.fingerprint == raw.fingerprint
    assert (len(packed.train), len(packed.val)) == (20, 10)
    image, _ = packed.train[0]
    assert image.shape == (1, 28, 28)
    assert torch.equal(image, raw.train[0][0])
    assert packed.classes is not None
    assert packed.classes[9] == "Ankle boot"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda content: content[:-10], "cannot be read|holds only"),
        (lambda content: b"", "cannot be read|is not an IDX file"),
        (lambda content: b"hello", "cannot be read"),
        (lambda content: gzip.compress(b"\0\0\x08\x03" + b"\xff" * 12), "claims"),
        (lambda content: gzip.compress(b"\0\0\x0d\x03" + b"\0" * 12), "is not an IDX file"),
        (lambda content: gzip.compress(gzip.decompress(content) + b"x"), "holds more bytes"),
        (lambda content: gzip.compress(_idx(np.zeros((3, 28, 28)))), "3 images for 20 labels"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, damage: Callable[[bytes], bytes], said: str) -> None:
    _write(tmp_path)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=f"train-images-idx3-ubyte.gz: .*({said})"):
        data.load(f"fashion-mnist:{tmp_path}")


def test_labels_out_of_range_and_missing_files_are_named(tmp_path: Path) -> None:
    _write(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(_idx(np.full(10, 10))))
    with pytest.raises(DataError, match="labels 10 to 10 for 10 classes"):
        data.load(f"fashion-mnist:{tmp_path}")
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="has no t10k-labels-idx1-ubyte"):
        data.load(f"fashion-mnist:{tmp_path}")
