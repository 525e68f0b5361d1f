"""Networks that torchvision registers, with the input size of their published weights; nothing is downloaded.

Source of sizes and normalisation: the ``transforms`` presets of ``torchvision.models.get_model_weights(name).DEFAULT``;
for detectors, which resize and normalise inside, their own ``transform`` (for images of equal sides).
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from compress.errors import UnavailableError
from models import torchvision_shim
from models.providers.base import (
    Arguments,
    Built,
    Catalogue,
    Description,
    call_constructor,
    check_arguments,
    refuse_arguments,
    unknown_name,
)

if TYPE_CHECKING:
    from types import ModuleType

_NO_WEIGHTS = "a reference names an architecture; give trained weights as a checkpoint file"
_REFUSED = {"weights": _NO_WEIGHTS, "weights_backbone": _NO_WEIGHTS, "progress": "it has no effect without a download"}
# These two draw truncated normals through SciPy, tens of seconds that loading a checkpoint would overwrite.
_SLOW_INITIALISATION = ("googlenet", "inception_v3", "quantized_googlenet", "quantized_inception_v3")
# Frames per clip where the weights do not record one: what torchvision's video recipes train and evaluate with.
_CLIP_FRAMES = 16
# The constructor's own default, which the default weights (trained at up to 518 pixels) do not always share.
_VIT_IMAGE_SIZE = 224


class TorchvisionModels(Catalogue):
    """``torchvision:NAME?argument=value``."""

    def names(self) -> list[str]:
        return list(_zoo().list_models())

    def build(self, name: str, arguments: Arguments, where: str) -> Built:
        builder = self._builder(name, arguments, where)
        parameters = inspect.signature(builder).parameters
        fixed: dict[str, Any] = {key: None for key in ("weights", "weights_backbone") if key in parameters}
        if name in _SLOW_INITIALISATION:
            fixed["init_weights"] = False
        return Built(call_constructor(builder, arguments, where, **fixed))

    def describe(self, name: str, arguments: Arguments, where: str) -> Description:
        self._builder(name, arguments, where)
        preset = _zoo().get_model_weights(name).DEFAULT
        transform = preset.transforms()
        size = getattr(transform, "crop_size", None) or getattr(transform, "resize_size", None)
        if type(transform).__name__ == "ObjectDetection":
            return self._describe_detector(name, arguments, where)
        if size is None:
            return Description()
        height, width = _image_size(name, arguments) or (size[0], size[-1])
        return Description(
            default_input=(3, *_frames(preset, transform), height, width),
            preprocessing={"mean": list(transform.mean), "std": list(transform.std), "size": [height, width]},
        )

    def _describe_detector(self, name: str, arguments: Arguments, where: str) -> Description:
        import torch

        with torch.device("meta"):
            inner: Any = self.build(name, arguments, where).module.transform
        width, height = inner.fixed_size or (inner.min_size[-1],) * 2
        recorded = {"mean": list(inner.image_mean), "std": list(inner.image_std), "size": [height, width]}
        return Description(default_input=(3, height, width), preprocessing=recorded)

    def _builder(self, name: str, arguments: Arguments, where: str) -> Any:
        zoo = _zoo()
        if name not in zoo.list_models():
            raise unknown_name(name, zoo.list_models(), where, "torchvision")
        refuse_arguments(arguments, _REFUSED, where)
        builder = zoo.get_model_builder(name)
        check_arguments(builder, arguments, where)
        return builder


def _zoo() -> ModuleType:
    torchvision_shim.ensure()
    try:
        import torchvision.models
    except ImportError as error:
        raise UnavailableError("torchvision is not installed", hint="pip install torchvision") from error
    return torchvision.models


def _image_size(name: str, arguments: Arguments) -> tuple[int, int] | None:
    size = arguments.get("image_size", _VIT_IMAGE_SIZE if name.startswith("vit_") else None)
    return (size, size) if isinstance(size, int) else None


def _frames(preset: Any, transform: Any) -> tuple[int, ...]:
    if type(transform).__name__ != "VideoClassification":
        return ()
    recorded = preset.meta.get("min_temporal_size", 1)
    return (recorded if recorded > 1 else _CLIP_FRAMES,)
