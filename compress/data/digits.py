"""``digits``: 1,797 handwritten digits of 8x8 pixels from scikit-learn (UCI optical recognition, Kaynak 1995)."""

from __future__ import annotations

import numpy as np

from compress.data.arrays import source_of
from compress.data.preprocessing import Wanted, complete
from compress.data.randomness import shuffled
from compress.data.source import DataSource

VAL_SHARE = 0.2
# Of the whole set, scaled to 0..1.
_MEAN = [0.3053]
_STD = [0.3760]
_SPLIT_SEED = 0


def load(ref: str, asked: Wanted) -> DataSource:
    """Load the digits: 20 % of each class, always the same images, are for validation. Never augmented."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = np.rint(found.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = found.target.astype(np.int64)
    held = np.zeros(len(labels), dtype=bool)
    for digit in range(10):
        members = np.flatnonzero(labels == digit)
        members = members[shuffled(len(members), _SPLIT_SEED, "digits", digit)]
        held[members[: round(VAL_SHARE * len(members))]] = True
    return source_of(
        ref,
        (images[~held], labels[~held]),
        (images[held], labels[held]),
        classes=[str(digit) for digit in range(10)],
        preprocessing=complete(asked, mean=_MEAN, std=_STD, size=[8, 8]),
        augmentation=None,
    )
