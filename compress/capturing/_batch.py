"""A network whose code looks at the batch size: its graph would be another network at a batch of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from compress.errors import CaptureError

_TOLERANCE = 1e-2  # of the outputs' scale: far above rounding in any precision, far below another computation


def refuse_batch_dependence(module: nn.Module, graph: Callable[..., Any], inputs: Sequence[torch.Tensor]) -> None:
    """Refuse a network that computes at a batch of 1 what its graph does not.

    ``torch.export`` takes any open batch for two or more, hence follows ``if x.shape[0] == 1`` without a word.

    Args:
        module: the network, in evaluation mode.
        graph: what was exported of it.
        inputs: example inputs, at a batch of two or more.

    Raises:
        CaptureError: the values differ at a batch of 1 only.
    """
    if any(value.is_meta for value in (*inputs, *module.parameters(), *module.buffers())):
        return
    if not _agree(module, graph, [value[:1] for value in inputs]) and _agree(module, graph, inputs):
        raise CaptureError(
            f"{type(module).__name__} computes something else for a batch of 1 than for larger ones, "
            "and a graph can hold only one of the two",
            hint="take what depends on the batch size (such as x.shape[0]) out of its forward",
        )


def _agree(module: nn.Module, graph: Callable[..., Any], inputs: Sequence[torch.Tensor]) -> bool:
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        try:
            expected = pytree.tree_leaves(module(*inputs))
        except Exception:  # noqa: BLE001  # the network's own code; where it takes no such batch, nothing can differ
            return True
        torch.manual_seed(0)
        try:
            found = pytree.tree_leaves(graph(*inputs))
        except RuntimeError:  # a shape that only the other branch has
            return False
    pairs = [(a, b) for a, b in zip(expected, found, strict=False) if isinstance(a, torch.Tensor)]
    return len(expected) == len(found) and all(_close(a, b) for a, b in pairs)


def _close(expected: torch.Tensor, found: torch.Tensor) -> bool:
    if expected.shape != found.shape:
        return False
    if not expected.is_floating_point() or expected.numel() == 0:
        return True  # an index may jump where two scores are equal but for rounding
    left, right = expected.double(), found.double()
    finite = left.isfinite() & right.isfinite()
    scale = float(torch.where(finite, left, 0).abs().max())
    return float(torch.where(finite, left - right, 0).abs().max()) <= _TOLERANCE * max(scale, 1e-30)
