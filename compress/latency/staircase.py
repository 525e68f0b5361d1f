"""Staircases: which widths a runtime computes together, so that the ones between take as long as the next.

Measured in small files by ``compress.pipeline.staircase``; here is what is known afterwards, and how it is read out of
the times. A width that is no multiple of the *block* is filled up to the next block with zeros; one that is no multiple
of the *alignment* is not computed in blocks at all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from compress.errors import InputError, UndecidedError
from compress.files import write_text

FORMAT, VERSION = "compress-staircase", 1
SUFFIX = ".staircase.json"
KINDS = ("1x1 convolution", "kxk convolution", "depthwise convolution", "linear layer")
"""The kinds of layers that have stairs of their own. A grouped convolution's are those of the kxk ones."""
MOST_ERROR = 0.25
"""Of a fit, relative: above it the times say nothing."""
_BLOCKS = (1, 2, 4, 8, 16, 32, 64)
_ENOUGH = 1.15  # times the least error: the finest stairs that explain the times so well are taken ...
_SLACK = 0.004  # ... or all but so well
_FEWEST = 5

Figures = NDArray[np.float64]


@dataclass(frozen=True)
class Key:
    """Where a staircase holds: ``processor`` in the system's words, ``runtime`` as in ``compress doctor``."""

    device: str
    processor: str
    runtime: str
    version: str
    threads: int


@dataclass(frozen=True)
class Stairs:
    """Of one kind of layer. ``plain`` is the time of a channel outside blocks over that of one in them.

    ``widths`` and ``milliseconds`` are what was measured, ``error`` what the stairs leave of it: root mean square,
    relative.
    """

    block: int
    alignment: int
    plain: float
    error: float
    widths: tuple[int, ...] = ()
    milliseconds: tuple[float, ...] = ()

    def effective(self, widths: NDArray[Any]) -> Figures:
        """The widths that ``widths`` take as long as; multiples of the block are themselves."""
        rows = np.asarray(widths, np.float64)
        padded = np.ceil(rows / self.block) * self.block
        return np.asarray(np.where(rows % self.alignment == 0, padded, rows * self.plain), np.float64)


@dataclass(frozen=True)
class Staircase:
    """The stairs of every kind of layer in :data:`KINDS` that was measured, on one runtime."""

    key: Key
    stairs: Mapping[str, Stairs]

    def __str__(self) -> str:
        threads = "1 thread" if self.key.threads == 1 else f"{self.key.threads} threads"
        steps = ", ".join(f"{kind} {one.block}" for kind, one in self.stairs.items())
        return f"{self.key.runtime} {self.key.version}, {threads}, {self.key.device}: {steps}"

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Write it atomically as JSON. Raises :class:`InputError` where that cannot be written."""
        document = {
            "format": FORMAT,
            "version": VERSION,
            "key": asdict(self.key),
            "stairs": {kind: asdict(one) for kind, one in self.stairs.items()},
        }
        write_text(path, json.dumps(document, indent=1) + "\n", overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Staircase:
        """Read one. Raises :class:`InputError` where the file is missing, damaged or something else."""
        hint = "delete it: --granularity auto measures another"
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError(f"cannot be read ({error.strerror})", where=str(path)) from error
        except (ValueError, RecursionError) as error:
            raise InputError(f"is not JSON ({error})", where=str(path), hint=hint) from error
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise InputError("is no staircase", where=str(path), hint="give a file that --granularity auto wrote")
        if document.get("version") != VERSION:
            raise InputError(
                f"has version {document.get('version')!r}, this tool reads {VERSION}", where=str(path), hint=hint
            )
        try:
            return cls(Key(**document["key"]), {kind: _stairs(one) for kind, one in document["stairs"].items()})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"is damaged ({error})", where=str(path), hint=hint) from error


def fit(widths: Sequence[int], milliseconds: Sequence[float], kind: str = "layer") -> Stairs:
    """Read the stairs out of the times of a layer at some widths.

    The model is ``constant + slope * e``: ``e`` is the width rounded up to the block, or a multiple of the width
    (``plain``) where that is no multiple of the alignment. Of all blocks and alignments, powers of two up to 64, the
    finest is taken whose relative error is next to the least.

    Args:
        widths: distinct, at least five.
        milliseconds: medians at these widths, above 0.
        kind: what an error calls the layer.

    Raises:
        InputError: too few widths, or times that are none.
        UndecidedError: no stairs explain the times to within :data:`MOST_ERROR`: the machine was too busy.
    """
    wide, times = np.array(widths, np.float64), np.array(milliseconds, np.float64)
    if wide.size != times.size or np.unique(wide).size < _FEWEST:
        raise InputError(f"stairs of a {kind} take {_FEWEST} widths", hint="measure again")
    if not np.isfinite(times).all() or (times <= 0).any():
        raise InputError(f"a time of a {kind} was measured as none, or not as a number", hint="measure again")
    pairs = [(block, alignment) for block in _BLOCKS for alignment in _BLOCKS if alignment <= block]
    fits = [(block, alignment, *_fitted(wide, times, block, alignment)) for block, alignment in pairs]
    least = min(error for *_, error in fits)
    block, alignment, plain, error = next(one for one in fits if one[3] <= _ENOUGH * least + _SLACK)
    if error > MOST_ERROR:
        raise UndecidedError(
            f"the times of a {kind} follow no stairs: {100 * error:.0f} % off the nearest",
            hint="measure again while the machine does nothing else",
        )
    return Stairs(block, alignment, plain, error, tuple(widths), tuple(float(time) for time in milliseconds))


def _fitted(widths: Figures, times: Figures, block: int, alignment: int) -> tuple[float, float]:
    """``plain``, and the relative error, of the best constant and slopes for these stairs."""
    fits = widths % alignment == 0
    columns = [np.ones_like(widths), np.where(fits, np.ceil(widths / block) * block, 0.0)]
    if not fits.all():
        columns.append(np.where(fits, 0.0, widths))
    weighted = np.stack(columns, axis=1) / times[:, None]
    found, _ = nnls(weighted, np.ones_like(times))
    error = float(np.sqrt(np.mean((weighted @ found - 1.0) ** 2)))
    plain = float(found[2] / found[1]) if len(found) > 2 and found[1] > 0 else 1.0
    return max(plain, 1.0), error


def _stairs(entry: Mapping[str, Any]) -> Stairs:
    found = Stairs(
        **{**entry, "widths": tuple(entry.get("widths", ())), "milliseconds": tuple(entry.get("milliseconds", ()))}
    )
    if not (found.block in _BLOCKS and found.alignment in _BLOCKS and found.block % found.alignment == 0):
        raise ValueError(f"block {found.block!r}, alignment {found.alignment!r}")
    return found
