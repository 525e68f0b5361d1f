"""What is remarkable about a part of two files: every finding is one sentence, and a cause that lost time is put to."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from deploy.why.graph import attribute
from deploy.why.parts import ACTIVATIONS, Part
from deploy.why.records import Peak
from deploy.why.rows import Match

Kind = Literal["provider", "copy", "plain", "unfused", "padding", "overhead", "memory", "slower", "inefficient"]
_NOTICED = 1.05
_RESOLUTION = 2e-3  # milliseconds: twice what runtimes' profilers resolve
_LOW = 0.25  # of what the machine allows
_FALL = 0.7  # of what was reached before


@dataclass(frozen=True)
class Finding:
    """``text`` is a sentence about a row."""

    kind: Kind
    text: str


def find(pair: Match, peak: Peak) -> list[Finding]:
    """Return what is remarkable, the weightiest first."""
    return [finding for finder in _FINDERS for finding in finder(pair, peak)]


def _provider(pair: Match, _peak: Peak) -> Iterator[Finding]:
    if pair.base and pair.new and pair.base.providers and pair.new.providers:
        before, after = pair.base.providers, pair.new.providers
        if before != after:
            yield Finding("provider", f"runs in {_list(after)} instead of {_list(before)}")


def _copy(pair: Match, _peak: Peak) -> Iterator[Finding]:
    if pair.new is None or not pair.new.is_copy:
        return
    kinds = set(pair.new.side.kinds)
    if kinds & {"QuantizeLinear", "DequantizeLinear"}:
        yield Finding("copy", "converts between integers and floats by itself: nothing took it in")
    elif kinds & {"ReorderInput", "ReorderOutput", "Reorder", "Reformat"}:
        words = "copies between two layouts of channels"
        yield Finding("copy", words if pair.base else f"{words}, which the base file does not need here")
    else:
        words = "copies or converts, and computes nothing"
        yield Finding("copy", words if pair.base else f"{words}; the base file does not have it")


def _plain(pair: Match, peak: Peak) -> Iterator[Finding]:
    if pair.new is None or peak.block is None or peak.alignment is None:
        return
    if pair.new.blocked:
        yield from _narrow(pair, peak.block)
        return
    channels = unfit_channels(pair.new, peak)
    if channels is None:
        return
    below = max(channels // peak.alignment, 1) * peak.alignment
    yield Finding(
        "plain",
        f"{channels} channels are no multiple of {peak.alignment}: computed in plain order, not in blocks of "
        f"{peak.block} ({below} and {below + peak.alignment} would be)",
    )


def _narrow(pair: Match, block: int) -> Iterator[Finding]:
    """A convolution of fewer input channels than a block reads plain order, whatever wrote its input."""
    before, after = (_sizes(part) if part else None for part in (pair.base, pair.new))
    if before and after and after[2] == 1 and after[0] < block <= before[0]:
        yield Finding("plain", f"{after[0]} input channels are fewer than a block of {block}: read in plain order")


def _unfused(pair: Match, _peak: Peak) -> Iterator[Finding]:
    if pair.base is not None or pair.new is None:
        return
    kinds = set(pair.new.side.kinds)
    if kinds <= ACTIVATIONS:
        yield Finding("unfused", "an activation by itself: the base file has it fused, or not at all")
    elif kinds <= {"Add", "Mul", "Sub", "Div", "BatchNormalization"}:
        yield Finding("unfused", "an operator of its own: the base file has it fused, or not at all")


def _padding(pair: Match, peak: Peak) -> Iterator[Finding]:
    if pair.new is None or peak.block is None or not pair.new.blocked:
        return
    share = padded_share(pair.new, peak.block)
    if share >= 0.02 and pair.new.side.width is not None:
        sizes = [(size, _up(size, peak.block)) for size in _channels(pair.new, peak.block)]
        padded = " and ".join(f"{size} channels laid out as {full}" for size, full in sizes if size != full)
        yield Finding("padding", f"{padded}: {_percent(share)} of its MACs are on padding")


def _bound(pair: Match, _peak: Peak) -> Iterator[Finding]:
    if pair.new is None or pair.new.is_copy:
        return
    if pair.new.side.bound == "overhead":
        yield Finding("overhead", "so little to do that its call costs most: fewer MACs save nothing")
    elif pair.new.side.bound == "memory" and (pair.new.side.macs or 0) > 0:
        yield Finding("memory", "its bytes take longer than its MACs: time falls with bytes")


def _slower(pair: Match, _peak: Peak) -> Iterator[Finding]:
    if pair.base is None or pair.new is None:
        return
    before, after = pair.base.side, pair.new.side
    longer = after.milliseconds > _NOTICED * before.milliseconds
    if not longer or after.milliseconds - before.milliseconds < _RESOLUTION:
        return
    if before.macs and after.macs is not None and after.macs <= before.macs:
        fewer = _percent(1 - after.macs / before.macs)
        less = f"with {fewer} fewer MACs" if after.macs < before.macs else "with as many MACs"
        yield Finding("slower", f"{after.milliseconds / before.milliseconds:.1f} times the time {less}")


def _inefficient(pair: Match, _peak: Peak) -> Iterator[Finding]:
    if pair.new is None or pair.new.side.attained is None or pair.new.side.attained >= _LOW or pair.new.is_copy:
        return
    now = pair.new.side.attained
    before = pair.base.side.attained if pair.base else None
    if before is not None and now < _FALL * before:
        text = f"reaches {_percent(now)} of what the machine allows it, {_percent(before)} before"
        yield Finding("inefficient", text)


_FINDERS: tuple[Callable[[Match, Peak], Iterator[Finding]], ...] = (
    _provider,
    _copy,
    _plain,
    _unfused,
    _padding,
    _bound,
    _slower,
    _inefficient,
)


def unfit_channels(part: Part, peak: Peak) -> int | None:
    """Return the number of channels that keeps a convolution out of the blocked layout, or ``None``."""
    shapes = _sizes(part)
    if shapes is None or peak.block is None or peak.alignment is None:
        return None
    before, after, groups = shapes
    if groups > 1:
        return after if after % peak.alignment else None
    return before if before >= peak.block and before % peak.alignment else None


def padded_share(part: Part, block: int) -> float:
    """Return the share of a blocked convolution's multiply-adds that are on channels put in to fill blocks up."""
    counted = padded = 1.0
    for size in _channels(part, block):
        counted *= size
        padded *= _up(size, block)
    return 1 - counted / padded


def _channels(part: Part, block: int) -> list[int]:
    """The numbers of channels that are laid out in blocks: of fewer inputs than a block none are put in."""
    shapes = _sizes(part)
    if shapes is None:
        return []
    before, after, groups = shapes
    return [after] if groups > 1 or before < block else [before, after]


def _sizes(part: Part) -> tuple[int, int, int] | None:
    """Input channels, output channels and groups of a part's convolution."""
    head = part.head
    if head is None or head.op_type != "Conv":
        return None
    weight = part.graph.shape(head.input[1])
    if weight is None or len(weight) < 2:
        return None
    groups = attribute(head, "group", 1)
    return weight[1] * groups, weight[0], groups


def _up(size: int, block: int) -> int:
    return math.ceil(size / block) * block


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _list(words: set[str]) -> str:
    return " and ".join(sorted(words))
