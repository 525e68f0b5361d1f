"""Masks: which elements of a weight are zero and stay zero, whoever trains it."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

Masks = Mapping[str, "Mask"]


@dataclass(frozen=True, eq=False)
class Mask:
    """Of one weight: ``kept`` (bool, of the weight's shape, on the CPU) is false where it is zero; ``pattern`` names
    the shape that the zeros have (see :mod:`compress.sparsity.patterns`).
    """

    kept: torch.Tensor
    pattern: str

    @property
    def zeros(self) -> int:
        """How many elements are zero."""
        return self.kept.numel() - int(self.kept.sum())

    @property
    def sparsity(self) -> float:
        """Share of the elements that are zero."""
        return self.zeros / self.kept.numel() if self.kept.numel() else 0.0

    def to_json(self) -> dict[str, Any]:
        """Pattern, shape and the bits (packed, compressed, base64) as JSON types."""
        bits = np.packbits(self.kept.cpu().numpy().reshape(-1)).tobytes()
        packed = base64.b64encode(zlib.compress(bits, 9)).decode("ascii")
        return {"pattern": self.pattern, "shape": list(self.kept.shape), "bits": packed}

    @classmethod
    def from_json(cls, document: Mapping[str, Any], shape: tuple[int, ...]) -> Mask:
        """Read what :meth:`to_json` wrote for a weight of ``shape``; never unpacks more than that takes.

        Raises:
            ValueError: it is something else, or for another shape.
            KeyError, TypeError: a part is missing.
        """
        if tuple(document["shape"]) != shape:
            raise ValueError(f"a mask of shape {document['shape']} for a weight of {list(shape)}")
        count = int(np.prod(shape))
        wanted = (count + 7) // 8
        try:
            packed = base64.b64decode(document["bits"], validate=True)
            bits = zlib.decompressobj().decompress(packed, wanted + 1)
        except (binascii.Error, zlib.error) as error:
            raise ValueError(f"a mask that cannot be unpacked ({error})") from error
        if len(bits) != wanted:
            raise ValueError("a mask of another length than its weight")
        flat = np.unpackbits(np.frombuffer(bits, np.uint8), count=count).astype(bool)
        return cls(torch.from_numpy(flat.reshape(shape)), str(document["pattern"]))


class Slots:
    """What a training graph reads masks from: an attribute for each."""


class MaskStore:
    """The masks of a Program, shared by all its modules; replacing them changes what every module trains."""

    def __init__(self, masks: Masks, device: torch.device | None = None) -> None:
        self._masks = dict(masks)
        self._names = {name: f"m{number}" for number, name in enumerate(masks)}
        self.slots = Slots()
        for name, mask in masks.items():
            setattr(self.slots, self._names[name], mask.kept.to(device))

    def __bool__(self) -> bool:
        return bool(self._masks)

    def __iter__(self) -> Iterator[str]:
        return iter(self._masks)

    @property
    def masks(self) -> dict[str, Mask]:
        """The masks by the weight's name."""
        return dict(self._masks)

    def slot(self, name: str) -> str | None:
        """The attribute of :attr:`slots` that holds the mask of a weight; None where it has none."""
        return self._names.get(name)

    def on(self, name: str) -> torch.Tensor:
        """The mask of a weight on the device that the modules run on."""
        found: torch.Tensor = getattr(self.slots, self._names[name])
        return found

    def replace(self, masks: Masks) -> None:
        """Take other masks of the same weights. Raises ``ValueError`` where they are of others."""
        if set(masks) != set(self._masks):
            raise ValueError("masks of other weights: modules that were made already would not see them")
        for name, slot in self._names.items():
            setattr(self.slots, slot, masks[name].kept.to(self.on(name).device))
        self._masks = {name: masks[name] for name in self._names}

    def move(self, to: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """Move what the graphs read, as ``nn.Module.to`` moves tensors."""
        for slot, value in vars(self.slots).items():
            setattr(self.slots, slot, to(value))
