"""``imagefolder:DIR``: one folder per class, either under train/ and val/ (or test/), or all in one place."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from compress.data.decoding import MEMORY_LIMIT, ImageFiles, image_size
from compress.data.images import AUGMENT_FROM, Augmentation, LabelledImages
from compress.data.preprocessing import Wanted, complete
from compress.data.randomness import shuffled
from compress.data.source import DataSource
from compress.errors import DataError
from compress.info import Preprocessing

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
VAL_SHARE = 0.2
"""Share of each class that is held back for validation when the folder has no split of its own."""

_VALIDATION = ("val", "valid", "validation", "test")
# Means and standard deviations of ImageNet's training images, the convention for colour photographs.
_MEAN = [0.485, 0.456, 0.406]
_STD = [0.229, 0.224, 0.225]


@dataclass(frozen=True)
class Listing:
    """The image files of one split, by name relative to its root, with labels and sizes in bytes."""

    root: Path
    classes: list[str]
    names: list[str]
    labels: npt.NDArray[np.int64]
    sizes: list[int]

    def part(self, indices: npt.NDArray[np.int64]) -> Listing:
        """Return the files at ``indices``."""
        return Listing(
            self.root,
            self.classes,
            [self.names[index] for index in indices],
            self.labels[indices],
            [self.sizes[index] for index in indices],
        )


def load(
    ref: str,
    folder: Path,
    asked: Wanted,
    augmentation: Augmentation | None,
    seed: int,
    memory_limit: int = MEMORY_LIMIT,
) -> DataSource:
    """Load the images under ``folder``.

    Raises:
        DataError: the folder is missing or not laid out as expected, a class is empty, or an image is unreadable.
    """
    notes: list[str] = []
    train, val = _splits(folder, seed, notes)
    size = asked.size or _common_size(train, notes)
    preprocessing = complete(asked, mean=_MEAN, std=_STD, size=size)
    if min(size) < AUGMENT_FROM:
        augmentation = None
    halves = []
    for listing, change in ((train, augmentation), (val, None)):
        channels = 1 if preprocessing.channels == 1 else 3
        files = ImageFiles(listing.root, listing.names, (size[0], size[1]), channels, memory_limit)
        if not files.fits:
            notes.append(
                f"{listing.root}: {len(files)} images are more than {memory_limit / 1024**3:g} GiB decoded, "
                "so they are decoded again each epoch"
            )
        halves.append(LabelledImages(files, listing.labels, preprocessing, change))
    fingerprint = _fingerprint(train, val, preprocessing)
    return DataSource(ref, halves[0], halves[1], train.classes, preprocessing, fingerprint, notes)


def _splits(folder: Path, seed: int, notes: list[str]) -> tuple[Listing, Listing]:
    if not folder.exists():
        raise DataError("no such folder", where=str(folder), hint="give the folder that holds train/ and val/")
    if not folder.is_dir():
        raise DataError("is a file, a folder of images was expected", where=str(folder))
    inside = {entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")}
    held_back = [name for name in _VALIDATION if name in inside]
    if "train" not in inside:
        if held_back and inside <= set(_VALIDATION):
            raise DataError(f"has {held_back[0]}/ but no train/", where=str(folder), hint="add train/<class>/ folders")
        return _divide(_list(folder), seed, notes)
    if not held_back:
        return _divide(_list(folder / "train"), seed, notes)
    if len(held_back) > 1:
        notes.append(f"{folder}: validated on {held_back[0]}/; {', '.join(held_back[1:])} is not used")
    train, val = _list(folder / "train"), _list(folder / held_back[0])
    if train.classes != val.classes:
        _refuse_classes(folder, held_back[0], train.classes, val.classes)
    return train, val


def _list(root: Path) -> Listing:
    folders = sorted(entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not folders:
        raise DataError("has no class folders", where=str(root), hint="expected one folder of images per class")
    names: list[str] = []
    labels: list[int] = []
    sizes: list[int] = []
    for label, name in enumerate(folders):
        for path in _images(root / name):
            names.append(os.path.relpath(path, root))
            labels.append(label)
            sizes.append(path.stat().st_size)
    counts = Counter(labels)
    empty = [name for label, name in enumerate(folders) if not counts[label]]
    if empty:
        listed = ", ".join(empty[:10]) + (f" and {len(empty) - 10} more" if len(empty) > 10 else "")
        raise DataError(
            f"{len(empty)} of {len(folders)} classes have no images: {listed}",
            where=str(root),
            hint=f"remove the empty folders or add images ({' '.join(SUFFIXES[:4])} ...)",
        )
    return Listing(root, folders, names, np.array(labels, dtype=np.int64), sizes)


def _images(folder: Path) -> list[Path]:
    found = []
    for place, _, files in os.walk(folder):
        found += [Path(place, name) for name in files if name.lower().endswith(SUFFIXES) and not name.startswith(".")]
    return sorted(found)


def _divide(listing: Listing, seed: int, notes: list[str]) -> tuple[Listing, Listing]:
    held: list[npt.NDArray[np.int64]] = []
    kept: list[npt.NDArray[np.int64]] = []
    for label, name in enumerate(listing.classes):
        members = np.flatnonzero(listing.labels == label)
        if len(members) < 2:
            raise DataError(
                f"class {name} has a single image, so nothing can be held back for validation",
                where=str(listing.root),
                hint="add images, or make train/ and val/ folders",
            )
        members = members[shuffled(len(members), seed, "split", name)]
        count = max(1, round(VAL_SHARE * len(members)))
        held.append(members[:count])
        kept.append(members[count:])
    train, val = (listing.part(np.sort(np.concatenate(part))) for part in (kept, held))
    notes.append(
        f"{listing.root}: no validation folder, so {len(val.names)} of {len(listing.names)} images "
        f"({VAL_SHARE:.0%} of each class, seed {seed}) are held back for validation"
    )
    return train, val


def _common_size(listing: Listing, notes: list[str]) -> list[int]:
    step = -(-len(listing.names) // 100)
    sizes = {image_size(listing.root / name) for name in listing.names[::step]}
    if len(sizes) == 1:
        return list(sizes.pop())
    notes.append(f"{listing.root}: the images differ in size and no input size is known, so 224x224 is taken")
    return [224, 224]


def _refuse_classes(folder: Path, val: str, trained: list[str], validated: list[str]) -> None:
    parts = []
    for name, missing in (
        (val, sorted(set(trained) - set(validated))),
        ("train", sorted(set(validated) - set(trained))),
    ):
        if missing:
            more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
            parts.append(f"{name}/ lacks {', '.join(missing[:10])}{more}")
    raise DataError(
        f"train/ and {val}/ do not hold the same classes: {'; '.join(parts)}",
        where=str(folder),
        hint="labels are the class folders in alphabetical order, so both need the same ones",
    )


def _fingerprint(train: Listing, val: Listing, preprocessing: Preprocessing) -> str:
    content = [[list(zip(part.names, part.sizes, strict=True)), part.classes] for part in (train, val)]
    text = json.dumps([content, preprocessing.model_dump()])
    return hashlib.sha256(text.encode()).hexdigest()
