"""Statistics over kept elements only: how the removal oracle runs the operators for which removal is more than
masking.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import fx
from torch.nn import functional as F

from compress.axes.trace import argument

Masks = list[np.ndarray]  # for each dimension of the first operand, which indices are kept
Statistic = Callable[[fx.Node, Any, Any, Masks], Any]
_aten = torch.ops.aten


def kept_statistic(operator: Any) -> Statistic | None:
    """How ``operator`` computes its statistic over kept elements, or None where masking suffices."""
    return _STATISTICS.get(operator)


def _weights(masks: Masks, like: torch.Tensor) -> torch.Tensor:
    """1 where an element is kept, 0 elsewhere, in the shape of ``like``."""
    result = torch.ones(like.shape, dtype=like.dtype)
    for dim, mask in enumerate(masks):
        if mask.size == like.shape[dim]:
            shape = [1] * like.ndim
            shape[dim] = mask.size
            result = result * torch.from_numpy(mask).to(like.dtype).reshape(shape)
    return result


def _moments(x: torch.Tensor, kept: torch.Tensor, dims: list[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean, biased variance and number of the kept elements along ``dims``, which stay as size 1."""
    count = kept.sum(dim=dims, keepdim=True).clamp_min(1)
    mean = (x * kept).sum(dim=dims, keepdim=True) / count
    variance = (((x - mean) * kept) ** 2).sum(dim=dims, keepdim=True) / count
    return mean, variance, count


def _layer_norm(node: fx.Node, args: Any, kwargs: Any, masks: Masks) -> Any:
    x = args[0]
    count = len(args[1])
    dims = list(range(x.ndim - count, x.ndim))
    mean, variance, _ = _moments(x, _weights(masks, x), dims)
    eps = args[4] if len(args) > 4 else kwargs.get("eps", 1e-5)
    return _affine((x - mean) / torch.sqrt(variance + eps), args, 2, 3)


def _rms_norm(node: fx.Node, args: Any, kwargs: Any, masks: Masks) -> Any:
    x = args[0]
    dims = list(range(x.ndim - len(args[1]), x.ndim))
    kept = _weights(masks, x)
    square = ((x * kept) ** 2).sum(dim=dims, keepdim=True) / kept.sum(dim=dims, keepdim=True).clamp_min(1)
    eps = args[3] if len(args) > 3 else kwargs.get("eps")
    found = x / torch.sqrt(square + (torch.finfo(x.dtype).eps if eps is None else eps))
    return found * args[2] if len(args) > 2 and args[2] is not None else found


def _affine(x: torch.Tensor, args: Any, weight: int, bias: int) -> torch.Tensor:
    if len(args) > weight and args[weight] is not None:
        x = x * args[weight]
    return x + args[bias] if len(args) > bias and args[bias] is not None else x


def _group_norm(node: fx.Node, args: Any, kwargs: Any, masks: Masks) -> Any:
    x, groups = args[0], args[1]
    shape = (x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])
    kept = _weights(masks, x).reshape(shape)
    mean, variance, _ = _moments(x.reshape(shape), kept, list(range(2, len(shape))))
    eps = args[4] if len(args) > 4 else kwargs.get("eps", 1e-5)
    found = ((x.reshape(shape) - mean) / torch.sqrt(variance + eps)).reshape(x.shape)
    channel = (1, -1, *[1] * (x.ndim - 2))
    shaped = [*args[:2], *(value.reshape(channel) if value is not None else None for value in args[2:4])]
    return _affine(found, shaped, 2, 3)


def _batch_norm(node: fx.Node, args: Any, kwargs: Any, masks: Masks) -> Any:
    x, weight, bias, mean, variance, training, _, eps = args[:8]
    if not training:
        return node.target(*args, **kwargs)  # type: ignore[operator]
    dims = [dim for dim in range(x.ndim) if dim != 1]
    mean, variance, _ = _moments(x, _weights(masks, x), dims)
    channel = (1, -1, *[1] * (x.ndim - 2))
    shaped = [value.reshape(channel) if value is not None else None for value in (weight, bias)]
    return _affine((x - mean) / torch.sqrt(variance + eps), shaped, 0, 1)


def _instance_norm(node: fx.Node, args: Any, kwargs: Any, masks: Masks) -> Any:
    x, weight, bias, mean, variance, measured, _, eps = args[:8]
    channel = (1, -1, *[1] * (x.ndim - 2))
    if measured:
        mean, variance, _ = _moments(x, _weights(masks, x), list(range(2, x.ndim)))
    else:
        mean, variance = mean.reshape(channel), variance.reshape(channel)
    shaped = [value.reshape(channel) if value is not None else None for value in (weight, bias)]
    return _affine((x - mean) / torch.sqrt(variance + eps), shaped, 0, 1)


def _attention(node: fx.Node, args: Any, kwargs: Any, masks: Masks) -> Any:
    """Removed keys get no weight; ``masks`` are those of the key."""
    key, tokens = args[1], torch.from_numpy(masks[-2])
    unseen = torch.zeros(tokens.shape, dtype=key.dtype).masked_fill(~tokens, -torch.inf)
    mask = args[3] if len(args) > 3 else kwargs.get("attn_mask")
    if mask is None:
        mask = unseen.expand(args[0].shape[-2], -1)
    elif mask.dtype is torch.bool:
        mask = mask & tokens
    else:
        mask = mask + unseen
    rest = {name: value for name, value in kwargs.items() if name != "attn_mask"}
    return F.scaled_dot_product_attention(args[0], key, args[2], mask, **rest)


def _mean(node: fx.Node, args: Any, kwargs: Any, masks: Masks) -> Any:
    x = args[0]
    dims = args[1] if len(args) > 1 and args[1] else list(range(x.ndim))
    keepdim = bool(args[2]) if len(args) > 2 else bool(kwargs.get("keepdim", False))
    mean, _, _ = _moments(x, _weights(masks, x), dims)
    return mean if keepdim else _squeezed(mean, dims)


def _variance(node: fx.Node, args: Any, kwargs: Any, masks: Masks) -> Any:
    """Of ``var.correction`` (a keyword) and of the older ``var.dim`` (whether unbiased, then whether ranks stay)."""
    x, dims = args[0], list(args[1]) if len(args) > 1 and args[1] else list(range(args[0].ndim))
    correction = kwargs.get("correction", 1)
    if str(node.target).endswith(".dim"):
        correction = int(args[2] if len(args) > 2 else kwargs.get("unbiased", True))
        kwargs = {"keepdim": args[3] if len(args) > 3 else kwargs.get("keepdim", False)}
    mean, variance, count = _moments(x, _weights(masks, x), dims)
    variance = variance * count / (count - (1 if correction is None else correction))
    keep = bool(kwargs.get("keepdim", False))
    shaped = [value if keep else _squeezed(value, dims) for value in (variance, mean)]
    name = str(node.target)
    if "var_mean" in name:
        return tuple(shaped)
    return torch.sqrt(shaped[0]) if "std" in name else shaped[0]


def _squeezed(value: torch.Tensor, dims: list[int]) -> torch.Tensor:
    for dim in sorted((dim % value.ndim for dim in dims), reverse=True):
        value = value.squeeze(dim)
    return value


def _extreme(node: fx.Node, args: Any, kwargs: Any, masks: Masks) -> Any:
    hidden = -torch.inf if "max" in str(node.target) else torch.inf
    x = args[0].masked_fill(_weights(masks, args[0]) == 0, hidden)
    found = node.target(x, *args[1:], **kwargs)  # type: ignore[operator]
    return torch.where(torch.isinf(found), torch.zeros((), dtype=found.dtype), found)


def _softmax(node: fx.Node, args: Any, kwargs: Any, masks: Masks) -> Any:
    dim = argument(node, 1, "dim")
    own = [mask if at == dim % args[0].ndim else np.ones_like(mask) for at, mask in enumerate(masks)]
    x = args[0].masked_fill(_weights(own, args[0]) == 0, -torch.inf)
    found = F.softmax(x, dim) if "log" not in str(node.target) else F.log_softmax(x, dim)
    return torch.where(torch.isinf(found), torch.zeros((), dtype=found.dtype), found)


STATISTICS_OF: dict[Any, int] = {
    _aten.scaled_dot_product_attention.default: 1
}  # which operand is summarised, where not the first
_STATISTICS: dict[Any, Statistic] = {
    _aten.scaled_dot_product_attention.default: _attention,
    _aten.instance_norm.default: _instance_norm,
    _aten.var.dim: _variance,
    _aten.std.dim: _variance,
    _aten.var_mean.dim: _variance,
    _aten._softmax.default: _softmax,
    _aten._log_softmax.default: _softmax,
    _aten.layer_norm.default: _layer_norm,
    _aten.rms_norm.default: _rms_norm,
    _aten.group_norm.default: _group_norm,
    _aten.batch_norm.default: _batch_norm,
    _aten.mean.dim: _mean,
    _aten.mean.default: _mean,
    _aten.var.correction: _variance,
    _aten.std.correction: _variance,
    _aten.var_mean.correction: _variance,
    _aten.amax.default: _extreme,
    _aten.amin.default: _extreme,
    _aten.max.default: _extreme,
    _aten.min.default: _extreme,
    _aten.softmax.int: _softmax,
    _aten.log_softmax.int: _softmax,
}
