"""Networks that timm registers, with the input that their ``pretrained_cfg`` records; nothing is downloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compress.errors import UnavailableError
from models import torchvision_shim
from models.providers.base import (
    Arguments,
    Built,
    Catalogue,
    Description,
    call_constructor,
    refuse_arguments,
    unknown_name,
)

if TYPE_CHECKING:
    from types import ModuleType

_NO_WEIGHTS = "a reference names an architecture; give trained weights as a checkpoint file"
_REFUSED = dict.fromkeys(
    ("pretrained", "checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir"), _NO_WEIGHTS
)


class TimmModels(Catalogue):
    """``timm:NAME?argument=value``; a weight tag in the name (``resnet50.a1_in1k``) sets the recorded input."""

    def names(self) -> list[str]:
        return list(_timm().list_models())

    def build(self, name: str, arguments: Arguments, where: str) -> Built:
        timm = self._check(name, arguments, where)
        return Built(call_constructor(timm.create_model, arguments, where, model_name=name, pretrained=False))

    def describe(self, name: str, arguments: Arguments, where: str) -> Description:
        config = self._check(name, arguments, where).models.get_pretrained_cfg(name)
        return describe_config(config.to_dict(), arguments) if config is not None else Description()

    def _check(self, name: str, arguments: Arguments, where: str) -> ModuleType:
        timm = _timm()
        if ":" in name or "/" in name or not timm.is_model(name):
            raise unknown_name(name, timm.list_models(), where, "timm")
        refuse_arguments(arguments, _REFUSED, where)
        return timm


def describe_config(config: dict[str, Any], arguments: Arguments) -> Description:
    """Read a timm ``pretrained_cfg``; ``img_size`` and ``in_chans`` among ``arguments`` override what it records."""
    shape = config.get("input_size")
    if not shape or len(shape) != 3:
        return Description()
    channels = arguments.get("in_chans", shape[0])
    height = arguments.get("img_size", shape[1])
    width = arguments.get("img_size", shape[2])
    if not (isinstance(channels, int) and isinstance(height, int) and isinstance(width, int)):
        return Description()
    mean, std = config.get("mean"), config.get("std")
    fits = mean and std and len(mean) == len(std) == channels
    recorded = {"mean": list(mean), "std": list(std), "size": [height, width]} if mean and std and fits else None
    return Description(default_input=(channels, height, width), preprocessing=recorded)


def _timm() -> ModuleType:
    torchvision_shim.ensure()
    try:
        import timm
    except ImportError as error:
        raise UnavailableError("timm is not installed", hint="pip install timm") from error
    return timm
