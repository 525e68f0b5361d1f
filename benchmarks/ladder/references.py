"""Which networks are run: every torchvision entry except quantised ones, and the smallest-named of every timm module.

Where the smallest is one of timm's own ``test_`` networks, the smallest real one is run as well; where that takes large
pictures, so is the smallest that does not, if the module has one.
"""

from __future__ import annotations

DETECTORS = ("rcnn", "retinanet", "fcos", "ssd")
SMALL = ("test_", "atto", "femto", "pico", "nano", "xxs", "xx_small", "tiny", "_ti", "_xs", "small", "_s", "b0", "050")
SMALL_DEPTHS = ("18", "26")
LARGE_PICTURE = 512
_TYPICAL = 20_000_000  # parameters of a timm network of the smallest name; only the order of the run depends on it


def references() -> list[str]:
    """References in the order in which they are run: small ones first, as far as that is known beforehand."""
    sizes = _torchvision() | dict.fromkeys(_timm(), _TYPICAL)
    return sorted(sizes, key=lambda ref: (sizes[ref], ref))


def submodule(ref: str) -> str | None:
    """The part that is captured: a detector's post-processing depends on its data, so its backbone stands for it."""
    return "backbone" if any(mark in ref for mark in DETECTORS) else None


def _torchvision() -> dict[str, int]:
    import models

    models.torchvision_shim.ensure()
    from torchvision.models import get_model_weights, list_models

    found = {}
    for name in list_models():
        if not name.startswith("quantized_"):
            weights = next(iter(get_model_weights(name)), None)
            found[f"torchvision:{name}"] = weights.meta["num_params"] if weights else _TYPICAL
    return found


def _timm() -> list[str]:
    import models

    models.torchvision_shim.ensure()
    import timm

    found = []
    for module in sorted(timm.list_modules()):
        names = sorted(timm.list_models(module=module), key=_size_rank)
        real = [name for name in names if not name.startswith("test_")]
        handy = [name for name in real if _picture(name) <= LARGE_PICTURE] if _picture(real[0]) > LARGE_PICTURE else []
        found += [f"timm:{name}" for name in dict.fromkeys(names[:1] + real[:1] + handy[:1])]
    return found


def _picture(name: str) -> int:
    """The side of the pictures that a timm network takes by default."""
    import timm

    found = timm.get_pretrained_cfg(name, allow_unregistered=True)
    return found.input_size[-1] if found is not None else 0


def _size_rank(name: str) -> tuple[int, int, str]:
    marks = SMALL + SMALL_DEPTHS
    return next((at for at, mark in enumerate(marks) if mark in name), len(marks)), len(name), name
