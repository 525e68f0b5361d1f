"""Name the architecture behind a bare state dict, from parameter names and shapes alone."""

from __future__ import annotations

import functools
import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from compress.checkpoints._signature import (
    ClassAxis,
    Item,
    classes_in,
    items_of,
    names_hash,
    shapes_hash,
    similarity,
    sketch,
    unpack_sketch,
)
from compress.errors import CheckpointError

INDEX_PATH = Path(__file__).with_name("architectures.json.gz")
INDEX_FORMAT = 1

_SOURCES = ("torchvision", "models", "timm")
_LISTED = 5
_NEAR = 0.5


@dataclass(frozen=True)
class Recognition:
    """An architecture whose names and shapes equal those of a state dict.

    Attributes:
        ref: model reference, ready for ``models.create``; carries ``num_classes=N`` where N is not the default.
        alternatives: references with the same names and shapes, the plainest first.
        num_classes: classes counted by the classifier, None for architectures without a choice of classes.
        message: one line for the user.
    """

    ref: str
    alternatives: list[str]
    num_classes: int | None
    message: str


def recognise(state: Mapping[str, torch.Tensor], where: str | None = None) -> Recognition:
    """Return the architecture of ``state``; a changed number of classes is recognised too.

    Where several architectures share names and shapes, the plainest is taken (torchvision before timm, then the
    shortest name) and the others are named. ``where`` is what an error names, usually the file.

    Raises:
        CheckpointError: no known architecture fits; the nearest ones are named.
    """
    items = items_of(state)
    entry = _index().entries.get(names_hash(items))
    matches = _matches(items, entry) if entry else []
    if not matches:
        raise _unknown(items, entry, where)
    matches.sort(key=_plainness)
    (ref, classes), others = matches[0], [other for other, _ in matches[1:]]
    message = f"recognised as {ref} from {len(items)} parameter names and shapes"
    if others:
        message += f", which it shares with {_some(others)} (choose another with --model)"
    return Recognition(ref, others, classes, message)


def index_versions() -> dict[str, str]:
    """Return the versions of torch, torchvision and timm that the index was built with."""
    return dict(_index().versions)


@dataclass(frozen=True)
class _Index:
    versions: dict[str, str]
    entries: dict[str, dict[str, Any]]


@functools.lru_cache(maxsize=1)
def _index() -> _Index:
    document = json.loads(gzip.decompress(INDEX_PATH.read_bytes()))
    if document["format"] != INDEX_FORMAT:
        raise CheckpointError(
            f"the index of architectures has format {document['format']}, this version reads {INDEX_FORMAT}",
            where=INDEX_PATH.name,
            hint="rebuild it with python -m compress.checkpoints.build_index",
        )
    return _Index(document["versions"], {entry["names"]: entry for entry in document["entries"]})


def _matches(items: Sequence[Item], entry: dict[str, Any]) -> list[tuple[str, int | None]]:
    found = []
    for head in entry["heads"]:
        axes = [ClassAxis(*axis) for axis in head["axes"]]
        classes = classes_in(items, axes)
        if axes and classes is None:
            continue
        for ref, default in head["shapes"].get(shapes_hash(items, axes), ()):
            found.append((_with_classes(ref, classes, default), classes))
    return found


def _with_classes(ref: str, classes: int | None, default: int | None) -> str:
    if classes is None or classes == default:
        return ref
    return f"{ref}{'&' if '?' in ref else '?'}num_classes={classes}"


def _plainness(match: tuple[str, int | None]) -> tuple[bool, int, int, str]:
    source, _, name = match[0].partition(":")
    return name.startswith("test_"), _SOURCES.index(source), len(name), name


def _unknown(items: Sequence[Item], entry: dict[str, Any] | None, where: str | None) -> CheckpointError:
    if entry:
        refs = sorted((ref, None) for head in entry["heads"] for group in head["shapes"].values() for ref, _ in group)
        names = [ref for ref, _ in sorted(refs, key=_plainness)]
        what = f"the parameter names are those of {_some(names)}, but shapes differ"
        return CheckpointError(what, where=where, hint="give the constructor with --model file.py:factory")
    own = sketch(items)
    ranked = sorted(
        ((similarity(own, unpack_sketch(other["sketch"])), other) for other in _index().entries.values()),
        key=lambda pair: (-pair[0], _plain_ref(pair[1])),
    )
    near = [f"{_plain_ref(other)} ({share:.0%} of the names)" for share, other in ranked[:3] if share >= _NEAR]
    what = f"no known architecture has these {len(items)} parameter names"
    if near:
        what += f"; nearest: {', '.join(near)}"
    return CheckpointError(what, where=where, hint="name it with --model, for example --model file.py:factory")


def _plain_ref(entry: dict[str, Any]) -> str:
    refs = [ref for head in entry["heads"] for group in head["shapes"].values() for ref, _ in group]
    return min(refs, key=lambda ref: _plainness((ref, None)))


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")
