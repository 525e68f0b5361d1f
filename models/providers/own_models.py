"""The networks defined in this package, with the input that they are meant for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from models.providers.base import (
    Arguments,
    Built,
    Catalogue,
    Description,
    call_constructor,
    check_arguments,
    unknown_name,
)

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class _Entry:
    """A factory, the image that it takes by default (channels, height, width), and the statistics of its data."""

    factory: Callable[..., nn.Module]
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]


class OwnModels(Catalogue):
    """``models:NAME?argument=value``."""

    def names(self) -> list[str]:
        return sorted(_entries())

    def build(self, name: str, arguments: Arguments, where: str) -> Built:
        return Built(call_constructor(self._entry(name, arguments, where).factory, arguments, where))

    def describe(self, name: str, arguments: Arguments, where: str) -> Description:
        entry = self._entry(name, arguments, where)
        channels, height, width = entry.shape
        wanted = arguments.get("in_channels", channels)
        if not isinstance(wanted, int):
            return Description()
        recorded: dict[str, Any] = {"mean": list(entry.mean), "std": list(entry.std), "size": [height, width]}
        return Description((wanted, height, width), recorded if wanted == channels else None)

    def _entry(self, name: str, arguments: Arguments, where: str) -> _Entry:
        entries = _entries()
        if name not in entries:
            raise unknown_name(name, entries, where, "models")
        check_arguments(entries[name].factory, arguments, where)
        return entries[name]


# Of ImageNet; the CIFAR checkpoints in circulation were trained with them too.
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Of scikit-learn's digits, pixels divided by 16.
_DIGITS_MEAN, _DIGITS_STD = (0.3053,), (0.3760,)


@cache
def _entries() -> dict[str, _Entry]:
    from models import cifar_mobilenetv2, cifar_resnet, digitsnet, fbnetv3, fbnetv3_small, mobilenetv1

    entries = {
        f"resnet{depth}": _Entry(partial(cifar_resnet.resnet, depth), (3, 32, 32), _IMAGENET_MEAN, _IMAGENET_STD)
        for depth in cifar_resnet.DEPTHS
    }
    entries |= {
        f"fbnetv3_{name}": _Entry(
            partial(fbnetv3.fbnetv3, name), (3, member.pixels, member.pixels), _IMAGENET_MEAN, _IMAGENET_STD
        )
        for name, member in fbnetv3.FAMILY.items()
    }
    entries |= {
        f"fbnetv3_mini_{name}": _Entry(
            partial(fbnetv3_small.fbnetv3_mini, name), (3, 32, 32), _IMAGENET_MEAN, _IMAGENET_STD
        )
        for name in fbnetv3_small.MINI
    }
    entries |= {
        f"fbnetv3_digits_{name}": _Entry(
            partial(fbnetv3_small.fbnetv3_digits, name), (1, 8, 8), _DIGITS_MEAN, _DIGITS_STD
        )
        for name in fbnetv3_small.DIGITS
    }
    return entries | {
        "digitsnet": _Entry(digitsnet.digitsnet, (1, 8, 8), _DIGITS_MEAN, _DIGITS_STD),
        "cifar_mobilenetv2": _Entry(cifar_mobilenetv2.mobilenetv2, (3, 32, 32), _IMAGENET_MEAN, _IMAGENET_STD),
        "mobilenetv1": _Entry(mobilenetv1.mobilenetv1, (3, 224, 224), _IMAGENET_MEAN, _IMAGENET_STD),
    }
