"""From decoded arrays to a :class:`DataSource`: what the data sets kept as whole arrays have in common."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import numpy.typing as npt
import torch

from compress.data.images import Augmentation, LabelledImages, PixelArray
from compress.data.source import DataSource
from compress.errors import DataError
from compress.info import Preprocessing

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Part = tuple[Images, Labels]


def source_of(
    ref: str,
    train: Part,
    val: Part,
    *,
    classes: list[str],
    preprocessing: Preprocessing,
    augmentation: Augmentation | None,
) -> DataSource:
    """Return a data source over ``(images, labels)``; images are uint8 of shape (count, height, width, channels)."""
    digest = hashlib.sha256(json.dumps([classes, preprocessing.model_dump()]).encode())
    halves = []
    for (images, labels), change in ((train, augmentation), (val, None)):
        if len(images) == 0:
            raise DataError("has no images", where=ref)
        if labels.min() < 0 or labels.max() >= len(classes):
            raise DataError(f"has labels {labels.min()} to {labels.max()} for {len(classes)} classes", where=ref)
        for array in (images, labels):
            digest.update(np.ascontiguousarray(array).data)
        halves.append(LabelledImages(PixelArray(torch.from_numpy(images)), labels, preprocessing, change))
    return DataSource(ref, halves[0], halves[1], classes, preprocessing, digest.hexdigest())
