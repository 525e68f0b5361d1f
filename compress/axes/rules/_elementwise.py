"""Element-wise operators tie their operands index by index, broadcasting as torch does."""

from __future__ import annotations

from typing import Any

from torch import fx

from compress.axes.labels import fixed
from compress.axes.trace import Axes, Trace, argument, aten, rule

_OPERATORS = aten(
    "relu relu_ relu6 relu6_ leaky_relu leaky_relu_ elu elu_ selu selu_ celu celu_ gelu gelu_ silu silu_ mish "
    "mish_ sigmoid sigmoid_ "
    "tanh tanh_ hardtanh hardtanh_ hardswish hardswish_ hardsigmoid hardsigmoid_ softplus log_sigmoid softsign "
    "logit erf exp exp_ log "
    "log1p sqrt rsqrt square abs neg reciprocal sign sin cos floor ceil round trunc clamp clamp_ clamp.Tensor "
    "clamp_min clamp_max "
    "clamp_min_ clamp_max_ pow.Tensor_Scalar pow.Tensor_Tensor dropout dropout_ feature_dropout "
    "feature_dropout_ alpha_dropout "
    "bernoulli_.float bernoulli.p bernoulli clone contiguous detach detach_ alias lift_fresh_copy to.dtype "
    "to.device to.dtype_layout "
    "to.other _to_copy type_as float half double positive "
    "add.Tensor add_.Tensor add.Scalar add_.Scalar sub.Tensor sub_.Tensor sub.Scalar rsub.Scalar rsub.Tensor "
    "mul.Tensor mul_.Tensor "
    "mul.Scalar mul_.Scalar div.Tensor div_.Tensor div.Scalar div_.Scalar div.Tensor_mode maximum minimum "
    "where.self where.ScalarSelf "
    "where.ScalarOther where.Scalar masked_fill.Scalar masked_fill_.Scalar masked_fill.Tensor lerp.Scalar "
    "lerp.Tensor addcmul addcdiv "
    "eq.Scalar ne.Scalar lt.Scalar le.Scalar gt.Scalar ge.Scalar eq.Tensor ne.Tensor lt.Tensor le.Tensor "
    "gt.Tensor ge.Tensor "
    "logical_not logical_and logical_or bitwise_not threshold threshold_ zero_ fill_.Scalar zeros_like "
    "ones_like full_like "
    "rand_like randn_like empty_like expand_as"
)


@rule(*_OPERATORS)
def elementwise(trace: Trace, node: fx.Node) -> Any:
    """The operand that spans a dimension decides its axis; operands of size 1 there are broadcast and stay."""
    shape = trace.shape(node)
    operands = [axes for axes in trace.operands(node) if axes is not None]
    return broadcast(trace, node, operands, shape)


def broadcast(trace: Trace, node: fx.Node, operands: list[Axes], shape: tuple[int, ...]) -> Axes:
    """Tie ``operands`` along each dimension of a result of ``shape``."""
    place = trace.place(node)
    result: Axes = []
    for position, size in enumerate(shape):
        spanning = []
        for axes in operands:
            dim = position - (len(shape) - len(axes))
            if dim >= 0 and axes[dim].size == size:
                spanning.append(axes[dim])
            elif dim >= 0:
                trace.labels.freeze(axes[dim], f"broadcast from one element ({place})")
        live = [labels for labels in spanning if labels.any()]
        for labels in spanning:
            if live and labels is not live[0]:
                trace.labels.tie(live[0], labels, f"combined with elements that never change ({place})")
        result.append(live[0] if live else fixed(size))
    return result


@rule(*aten("prelu"))
def prelu(trace: Trace, node: fx.Node) -> Any:
    """A slope of its own for each channel goes with the channel; a single one is shared."""
    x, slope = trace.axes(argument(node, 0, "self")), trace.axes(argument(node, 1, "weight"))
    if slope and slope[0].size > 1:
        trace.labels.tie(x[1], slope[0], f"slopes of channels that never change ({trace.place(node)})")
    elif slope:
        trace.labels.freeze(slope[0], f"one slope for all channels ({trace.place(node)})")
    return x


@rule(
    *aten(
        "empty.memory_format zeros ones full rand randn arange arange.start arange.start_step scalar_tensor "
        "new_zeros new_ones new_full "
        "new_empty eye linspace"
    )
)
def constructed(trace: Trace, node: fx.Node) -> Any:
    """A tensor made inside the graph has literal sizes: what it is combined with must keep them."""
    return trace.fixed(node)
