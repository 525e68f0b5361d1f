"""Prune, finetune and measure trained networks. The names below load on first use, so that importing costs nothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "Program": "compress.program",
    "TensorSpec": "compress.program",
    "Count": "compress.counting",
    "CompressError": "compress.errors",
    "Group": "compress.axes.groups",
    "Plan": "compress.plan",
    "PruneResult": "compress.pruning",
    "capture": "compress.capturing",
    "eager_module": "compress.eager.making",
    "load": "compress.loading",
    "permute": "compress.axes.permute",
    "prune": "compress.pruning",
    "restore": "compress.eager.restoring",
    "save_structure": "compress.eager.restoring",
    "sensitivity": "compress.damage",
    "sparsify": "compress.sparsity.sparsifying",
    "Mask": "compress.masks",
    "apply_masks": "compress.sparsity.eager",
}

__all__ = ["__version__", *sorted(_HOMES)]

if TYPE_CHECKING:
    from compress.axes.groups import Group as Group
    from compress.axes.permute import permute as permute
    from compress.capturing import capture as capture
    from compress.counting import Count as Count
    from compress.damage import sensitivity as sensitivity
    from compress.eager.making import eager_module as eager_module
    from compress.eager.restoring import restore as restore
    from compress.eager.restoring import save_structure as save_structure
    from compress.errors import CompressError as CompressError
    from compress.loading import load as load
    from compress.masks import Mask as Mask
    from compress.plan import Plan as Plan
    from compress.program import Program as Program
    from compress.program import TensorSpec as TensorSpec
    from compress.pruning import PruneResult as PruneResult
    from compress.pruning import prune as prune
    from compress.sparsity.eager import apply_masks as apply_masks
    from compress.sparsity.sparsifying import sparsify as sparsify


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'compress' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
