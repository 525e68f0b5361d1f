"""``cifar10:DIR``: Krizhevsky's CIFAR-10 as distributed, binary or Python version; the pickles are read, never run."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from compress.data.arrays import Part, source_of
from compress.data.images import Augmentation
from compress.data.preprocessing import Wanted, complete
from compress.data.source import DataSource
from compress.errors import DataError

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
_MEAN = [0.4914, 0.4822, 0.4465]
_STD = [0.2470, 0.2435, 0.2616]
_PIXELS = 3 * 32 * 32
_FOLDERS = ("", "cifar-10-batches-py", "cifar-10-batches-bin")


def load(ref: str, folder: Path, asked: Wanted, augmentation: Augmentation | None) -> DataSource:
    """Load the five training batches and the test batch under ``folder``.

    Raises:
        DataError: files are missing or malformed, or a pickle asks for anything but an array of bytes.
    """
    files, read = _find(folder)
    *train, val = [read(path) for path in files]
    images, labels = (np.concatenate(parts) for parts in zip(*train, strict=True))
    return source_of(
        ref,
        (images, labels),
        val,
        classes=CLASSES,
        preprocessing=complete(asked, mean=_MEAN, std=_STD, size=[32, 32]),
        augmentation=augmentation,
    )


def _find(folder: Path) -> tuple[list[Path], Callable[[Path], Part]]:
    if not folder.is_dir():
        raise DataError("no such folder", where=str(folder), hint="give the folder that holds data_batch_1")
    names = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
    for suffix, read in (("", _read_pickle), (".bin", _read_binary)):
        for inner in _FOLDERS:
            files = [folder / inner / f"{name}{suffix}" for name in names]
            missing = [path.name for path in files if not path.is_file()]
            if not missing:
                return files, read
            if len(missing) < len(files):
                raise DataError(f"{', '.join(missing)} missing", where=str(folder / inner))
    raise DataError(
        "has no data_batch_1 ... data_batch_5 and test_batch",
        where=str(folder),
        hint="unpack the Python or binary version of CIFAR-10 there",
    )


def _read_binary(path: Path) -> Part:
    content = path.read_bytes()
    if not content or len(content) % (_PIXELS + 1):
        raise DataError(
            f"has {len(content)} bytes, expected a multiple of {_PIXELS + 1} (label, 32x32 pixels in three planes)",
            where=str(path),
        )
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, _PIXELS + 1)
    return _part(records[:, 1:], records[:, 0].astype(np.int64), path)


def _read_pickle(path: Path) -> Part:
    try:
        content = _Reader(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except DataError as error:
        raise DataError(error.what, where=str(path), hint="it is not a CIFAR-10 batch; do not trust it") from None
    except Exception as error:
        # A malformed pickle can raise nearly anything.
        raise DataError(f"is not a CIFAR-10 batch ({type(error).__name__})", where=str(path)) from error
    if not isinstance(content, dict):
        raise DataError("is not a CIFAR-10 batch (no dictionary)", where=str(path))
    entries = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in content.items()}
    data, labels = entries.get("data"), entries.get("labels")
    if not isinstance(data, _Bytes) or not isinstance(labels, list):
        raise DataError("is not a CIFAR-10 batch (no data and labels)", where=str(path))
    if not all(type(label) is int and 0 <= label <= 255 for label in labels):
        raise DataError("is not a CIFAR-10 batch (labels are not small integers)", where=str(path))
    if len(data.raw) != len(labels) * _PIXELS or data.type != "u1" or data.fortran:
        raise DataError(f"has {len(data.raw)} bytes of pixels for {len(labels)} labels", where=str(path))
    return _part(np.frombuffer(data.raw, dtype=np.uint8), np.array(labels, dtype=np.int64), path)


def _part(planes: np.ndarray[Any, np.dtype[np.uint8]], labels: np.ndarray[Any, np.dtype[np.int64]], path: Path) -> Part:
    if len(labels) == 0 or labels.max() >= len(CLASSES):
        raise DataError("has no images, or labels above 9", where=str(path))
    images = planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), labels


class _Bytes:
    """Stands for a pickled array: keeps what describes it, runs nothing of numpy's."""

    raw: bytes = b""
    type: str = ""
    fortran: bool = False

    def __setstate__(self, state: Any) -> None:
        _, _, dtype, self.fortran, raw = state
        if not isinstance(dtype, _Type) or not isinstance(raw, bytes):
            raise DataError("an array in it holds objects")
        self.raw, self.type = raw, dtype.name


class _Type:
    """Stands for a pickled element type."""

    def __init__(self, name: Any = "", *_: Any) -> None:
        self.name = name.decode("latin1") if isinstance(name, bytes) else str(name)

    def __setstate__(self, state: Any) -> None:
        """Byte order and alignment: of no meaning for bytes."""


def _array(*_: Any) -> _Bytes:
    return _Bytes()


def _encoded(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise DataError("it asks for an unexpected conversion")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy.core.multiarray", "_reconstruct"): _array,
    ("numpy._core.multiarray", "_reconstruct"): _array,
    ("numpy", "ndarray"): _Bytes,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encoded,
}


class _Reader(pickle.Unpickler):
    """Resolves the four names that a pickled array of bytes needs, each to a stand-in from this file."""

    def find_class(self, module: str, name: str) -> Any:
        found = _ALLOWED.get((module, name))
        if found is None:
            raise DataError(f"refused: the pickle asks to run {module}.{name}")
        return found

    def persistent_load(self, pid: Any) -> NoReturn:
        raise DataError("refused: the pickle refers to objects outside itself")
