"""CIFAR-10 in both of its distributed forms, and pickles that are not what they say."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from compress import data
from compress.errors import DataError

NAMES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


def _content(seed: int, count: int = 6) -> tuple[np.ndarray[Any, Any], list[int]]:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (count, 3072), dtype=np.uint8), generator.integers(0, 10, count).tolist()


def _python2_pickle(pixels: np.ndarray[Any, Any], labels: list[int]) -> bytes:
    """Write what Python 2's protocol 2 wrote: byte strings as SHORT_BINSTRING and BINSTRING."""

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    raw = pixels.tobytes()
    array = b"".join(
        [
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n",
            b"K\x00\x85" + text(b"b") + b"\x87R",
            b"(K\x01K" + bytes([len(pixels)]) + b"M\x00\x0c\x86",
            b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R",
            b"(K\x03" + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
            b"\x89T" + len(raw).to_bytes(4, "little") + raw + b"tb",
        ]
    )
    listed = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"labels") + listed + text(b"data") + array + b"u."


def _write(folder: Path, encode: Callable[[np.ndarray[Any, Any], list[int]], bytes], suffix: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(NAMES):
        (folder / f"{name}{suffix}").write_bytes(encode(*_content(seed)))


def _modern(protocol: int) -> Callable[[np.ndarray[Any, Any], list[int]], bytes]:
    return lambda pixels, labels: pickle.dumps({b"data": pixels, b"labels": labels}, protocol=protocol)


def _binary(pixels: np.ndarray[Any, Any], labels: list[int]) -> bytes:
    return b"".join(bytes([label]) + row.tobytes() for label, row in zip(labels, pixels, strict=True))


@pytest.mark.parametrize(
    ("encode", "suffix", "inner"),
    [
        (_python2_pickle, "", "cifar-10-batches-py"),
        (_modern(2), "", ""),
        (_modern(4), "", ""),
        (_binary, ".bin", "cifar-10-batches-bin"),
    ],
    ids=["python 2", "protocol 2", "protocol 4", "binary"],
)
def test_both_distributed_forms(
    tmp_path: Path, encode: Callable[[np.ndarray[Any, Any], list[int]], bytes], suffix: str, inner: str
) -> None:
    _write(tmp_path / inner, encode, suffix)
    source = data.load(f"cifar10:{tmp_path}", preprocessing={"mean": [0.0] * 3, "std": [1.0] * 3})
    assert (len(source.train), len(source.val)) == (30, 6)
    pixels, labels = _content(5)
    for index in range(6):
        image, label = source.val[index]
        assert label == labels[index]
        assert np.array_equal(np.rint(image.numpy() * 255), pixels[index].reshape(3, 32, 32))


class _Attack:
    def __init__(self, action: tuple[Any, ...]) -> None:
        self._action = action

    def __reduce__(self) -> Any:
        return self._action


@pytest.mark.parametrize(
    "action",
    [
        (os.system, ("touch {mark}",)),
        (eval, ("open('{mark}', 'w')",)),
        (np.load, ("{mark}",)),
        (getattr, ("text", "upper")),
        (np.dtype, ("O",)),
    ],
    ids=["system", "eval", "numpy.load", "getattr", "objects"],
)
def test_a_pickle_runs_nothing(tmp_path: Path, action: tuple[Any, ...]) -> None:
    _write(tmp_path, _modern(4))
    mark = tmp_path / "ran"
    function, arguments = action
    filled = tuple(value.format(mark=mark) if isinstance(value, str) else value for value in arguments)
    attack = pickle.dumps({b"data": _Attack((function, filled)), b"labels": [1]})
    (tmp_path / "data_batch_3").write_bytes(attack)
    with pytest.raises(DataError, match="data_batch_3: "):
        data.load(f"cifar10:{tmp_path}")
    assert not mark.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\x80\x04",
        pickle.dumps([1, 2]),
        pickle.dumps({b"data": 3, b"labels": [1]}),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}),
        pickle.dumps({b"data": np.zeros((1, 3072), np.float32), b"labels": [1]}),
        pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": ["cat"]}),
        pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": [10]}),
        pickle.dumps({b"data": np.zeros((0, 3072), np.uint8), b"labels": []}),
        pickle.dumps({b"data": np.array([None] * 3072), b"labels": [1]}),
    ],
)
def test_a_malformed_batch_is_named(tmp_path: Path, content: bytes) -> None:
    _write(tmp_path, _modern(4))
    (tmp_path / "data_batch_2").write_bytes(content)
    with pytest.raises(DataError, match="data_batch_2: "):
        data.load(f"cifar10:{tmp_path}")


def test_missing_and_truncated_files_are_named(tmp_path: Path) -> None:
    _write(tmp_path, _binary, ".bin")
    whole = (tmp_path / "data_batch_4.bin").read_bytes()
    (tmp_path / "data_batch_4.bin").write_bytes(whole[:-1])
    with pytest.raises(DataError, match=r"data_batch_4.bin: has \d+ bytes, expected a multiple of 3073"):
        data.load(f"cifar10:{tmp_path}")
    (tmp_path / "data_batch_4.bin").unlink()
    with pytest.raises(DataError, match=r"data_batch_4.bin missing"):
        data.load(f"cifar10:{tmp_path}")
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match="unpack the Python or binary version"):
        data.load(f"cifar10:{tmp_path / 'other'}")
