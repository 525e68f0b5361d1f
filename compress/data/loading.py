"""``--data REF``: from a reference to a data set ready for a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from compress.data import cifar10, digits, factory, fashion_mnist, imagefolder
from compress.data.decoding import MEMORY_LIMIT
from compress.data.images import Augmentation
from compress.data.preprocessing import wanted
from compress.data.source import DataSource
from compress.errors import DataError

REFERENCES = "digits, imagefolder:DIR, cifar10:DIR, fashion-mnist:DIR or file.py:factory"

_AUGMENTATION = Augmentation()


def load(
    ref: str,
    *,
    preprocessing: Any = None,
    seed: int = 0,
    augmentation: Augmentation | None = _AUGMENTATION,
    memory_limit: int = MEMORY_LIMIT,
) -> DataSource:
    """Load the data set that ``ref`` names.

    Args:
        ref: ``digits``, ``imagefolder:DIR``, ``cifar10:DIR``, ``fashion-mnist:DIR`` or ``file.py:factory``.
        preprocessing: what the network wants: any object or mapping with mean, std, size and channels, each of which
            may be None; the data set's own values fill the gaps. See :func:`~compress.data.preprocessing_of`.
        seed: decides which images of an ``imagefolder`` without val/ are held back.
        augmentation: change of training images of at least 28 pixels: by default mirrored and shifted by up to 4
            pixels; None for none. Digits are never augmented.
        memory_limit: bytes of decoded ``imagefolder`` images per split that may stay in memory (2 GiB).

    Raises:
        DataError: the reference is unknown, or what it names is missing or malformed.
    """
    asked = wanted(preprocessing)
    if ref == "digits":
        return digits.load(ref, asked)
    if factory.is_factory(ref):
        return factory.load(ref)
    kind, _, place = ref.partition(":")
    if kind not in ("imagefolder", "cifar10", "fashion-mnist"):
        raise DataError("no such data set", where=ref, hint=f"use {REFERENCES}")
    if not place:
        raise DataError("names no folder", where=ref, hint=f"write {kind}:DIR")
    folder = Path(place).expanduser()
    if kind == "imagefolder":
        return imagefolder.load(ref, folder, asked, augmentation, seed, memory_limit)
    if kind == "cifar10":
        return cifar10.load(ref, folder, asked, augmentation)
    return fashion_mnist.load(ref, folder, asked, augmentation)
