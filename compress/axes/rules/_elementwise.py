"""Element-wise operators tie their operands index by index, broadcasting as torch does."""

from __future__ import annotations

from typing import Any

from torch import fx

from compress.axes.labels import fixed
from compress.axes.trace import Axes, Cut, Trace, argument, aten, rewrites, rule, set_argument

_OPERATORS = aten(
    "_to_copy abs abs_ acos acosh add.Scalar add.Tensor add_.Scalar add_.Tensor addcdiv addcdiv_ addcmul addcmul_ "
    "alias alpha_dropout asin asinh atan atan2 atanh bernoulli bernoulli.p bernoulli_.float bitwise_and.Tensor "
    "bitwise_not bitwise_or.Tensor ceil celu celu_ clamp clamp.Tensor clamp_ clamp_max clamp_max_ clamp_min "
    "clamp_min_ clip clip_ clone contiguous copy_ copysign.Tensor cos cos_ cosh detach detach_ div.Scalar "
    "div.Tensor div.Tensor_mode div_.Scalar div_.Tensor div_.Tensor_mode double dropout dropout_ elu elu_ "
    "empty_like eq.Scalar eq.Tensor erf erfc exp exp2 exp_ expand_as expm1 feature_alpha_dropout feature_dropout "
    "feature_dropout_ fill.Scalar fill.Tensor fill_.Scalar fill_.Tensor float floor floor_divide "
    "floor_divide.Scalar fmod.Scalar fmod.Tensor frac full_like ge.Scalar ge.Tensor gelu gelu_ gt.Scalar "
    "gt.Tensor half hardshrink hardsigmoid hardsigmoid_ hardswish hardswish_ hardtanh hardtanh_ hypot isfinite "
    "isinf isnan le.Scalar le.Tensor leaky_relu leaky_relu_ lerp.Scalar lerp.Tensor lerp_.Scalar lerp_.Tensor "
    "lift_fresh_copy log log10 log1p log2 log_sigmoid logaddexp logical_and logical_not logical_or logical_xor "
    "logit lt.Scalar lt.Tensor masked_fill.Scalar masked_fill.Tensor masked_fill_.Scalar masked_fill_.Tensor "
    "maximum minimum mish mish_ mul.Scalar mul.Tensor mul_.Scalar mul_.Tensor nan_to_num ne.Scalar ne.Tensor neg "
    "neg_ ones_like positive pow.Scalar pow.Tensor_Scalar pow.Tensor_Tensor pow_.Scalar rand_like randn_like "
    "reciprocal reciprocal_ relu relu6 relu6_ relu_ remainder.Scalar remainder.Tensor round rsqrt rsqrt_ "
    "rsub.Scalar rsub.Tensor selu selu_ sgn sigmoid sigmoid_ sign silu silu_ sin sin_ sinh softplus softshrink "
    "softsign sqrt sqrt_ square square_ sub.Scalar sub.Tensor sub_.Tensor tan tanh tanh_ threshold threshold_ "
    "to.device to.dtype to.dtype_layout to.other trunc type_as where.Scalar where.ScalarOther where.ScalarSelf "
    "where.self zero_ zeros_like"
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


_FILLED = aten("empty.memory_format zeros ones full rand randn")
_FILLED_LIKE = aten("new_zeros new_ones new_full new_empty")
_FOLLOWING = {*_OPERATORS, *aten("cat concat stack lstm.input gru.input rnn_tanh.input rnn_relu.input")}


@rule(*_FILLED, *_FILLED_LIKE)
def filled(trace: Trace, node: fx.Node) -> Any:
    """A tensor filled alike everywhere can be made smaller, with whatever it is combined with."""
    sizes = argument(node, _size_position(node), "size")
    if not all(user.target in _FOLLOWING for user in node.users):
        return trace.fixed(node)
    return [
        trace.labels.fresh(found) if isinstance(size, int) and size > 1 else fixed(found)
        for size, found in zip(sizes, trace.shape(node), strict=True)
    ]


@rewrites(*_FILLED, *_FILLED_LIKE)
def filled_sizes(cut: Cut, old: fx.Node, new: fx.Node) -> None:
    """Literal sizes follow what is kept."""
    position = _size_position(old)
    sizes = [
        cut.kept(old, dim) if isinstance(size, int) else size
        for dim, size in enumerate(argument(new, position, "size"))
    ]
    set_argument(new, position, "size", sizes)


def _size_position(node: fx.Node) -> int:
    return 1 if node.target in _FILLED_LIKE else 0


@rule(*aten("arange arange.start arange.start_step scalar_tensor eye linspace"))
def constructed(trace: Trace, node: fx.Node) -> Any:
    """A tensor of numbers in order: what it is combined with must keep them."""
    return trace.fixed(node)
