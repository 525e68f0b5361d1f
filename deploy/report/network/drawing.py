"""The network as a picture: a bar for each layer's MACs in graph order, and below it which layers share a width."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator

from deploy.report.network.rails import Rail, place
from deploy.report.network.schema import LayerBar, NetworkPage
from deploy.report.network.stretches import Stretch, stretches
from deploy.report.text import escape, number

_WIDTH = 1000.0
_LEFT, _RIGHT, _TOP = 62.0, 10.0, 14.0
_BARS = 200.0
_LANE = 11.0
_NAMES = 26.0
_LETTER = 6.4  # width of a letter at the size of the names


def draw(page: NetworkPage) -> str:
    """Return the picture as SVG; colours come from the page's style."""
    if not page.layers:
        return ""
    across = _Across(len(page.layers))
    rails = place(page)
    lanes = 1 + max((rail.lane for rail in rails), default=0)
    bottom = _TOP + _BARS + 12 + _LANE * lanes
    highest = _ceiling(max(layer.macs for layer in page.layers))
    parts = [
        *_bands(page, across, bottom),
        *_grid(highest),
        *(_bar(page, index, across, highest) for index in range(len(page.layers))),
        *(_rail(page, rail, across) for rail in rails),
    ]
    label = (
        f"{len(page.layers)} layers in graph order: height is MACs, the hatched part stays; below, layers that share a "
        "width are joined"
    )
    inside = "\n".join(parts)
    return (
        '<div class="picture" tabindex="0" role="region" aria-label="Picture of the network">'
        f'<svg id="network" viewBox="0 0 {_WIDTH:g} {bottom + _NAMES:g}" role="img" aria-label="{label}">\n'
        f"{_HATCH}\n{inside}\n</svg></div>"
    )


_HATCH = (
    '<defs><pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="hatch-paper" width="5" height="5"/><line class="hatch-line" x1="0" y1="0" x2="0" y2="5"/></pattern>'
    "</defs>"
)


class _Across:
    """Where layers stand from left to right."""

    def __init__(self, count: int) -> None:
        self.pitch = (_WIDTH - _LEFT - _RIGHT) / count
        self.bar = min(26.0, 0.74 * self.pitch)
        self.dot = max(1.1, min(4.0, 0.42 * self.pitch))

    def middle(self, index: int) -> float:
        return _LEFT + (index + 0.5) * self.pitch


def _bands(page: NetworkPage, across: _Across, bottom: float) -> Iterator[str]:
    """A band and a name for every stretch of layers of one part of the network."""
    for number_, stretch in enumerate(stretches([layer.name for layer in page.layers])):
        left = _LEFT + stretch.first * across.pitch
        wide = (stretch.last - stretch.first + 1) * across.pitch
        if number_ % 2 == 0:
            yield f'<rect class="band" x="{left:.1f}" y="{_TOP:g}" width="{wide:.1f}" height="{bottom - _TOP:.1f}"/>'
        name = _fitting(stretch, wide)
        if name:
            yield f'<text class="part" x="{left + wide / 2:.1f}" y="{bottom + 17:.1f}">{escape(name)}</text>'


def _fitting(stretch: Stretch, wide: float) -> str:
    """The longest of the stretch's names that fits, if one does."""
    return next((name for name in stretch.names if len(name) * _LETTER + 6 <= wide), "")


def _grid(highest: float) -> Iterator[str]:
    for step in range(5):
        y = _TOP + _BARS * (1 - step / 4)
        yield f'<line class="grid" x1="{_LEFT:g}" x2="{_WIDTH - _RIGHT:g}" y1="{y:g}" y2="{y:g}"/>'
        text = re.sub(r"\.0+(?= |$)", "", number(highest * step / 4, "count"))
        yield f'<text class="tick" x="{_LEFT - 7:g}" y="{y + 4:g}">{escape(text)}</text>'


def _bar(page: NetworkPage, index: int, across: _Across, highest: float) -> str:
    layer = page.layers[index]
    x = across.middle(index) - across.bar / 2
    floor = _TOP + _BARS
    left, whole = (_BARS * macs / highest for macs in (layer.macs_left, layer.macs))
    stays = _box("stays", x, floor - left, across.bar, left)
    goes = _box("goes", x, floor - whole, across.bar, whole - left)
    # The whole column answers to the pointer: thin layers would be hard to hit.
    column = _box("column", across.middle(index) - across.pitch / 2, _TOP, across.pitch, _BARS)
    return _answering("layer", layer.groups, describe(page, layer), column + goes + stays)


def _answering(kind: str, groups: Iterable[int], text: str, inside: str) -> str:
    """A part of the picture that says ``text`` when pointed at, and lights up with all that has one of its groups."""
    numbers = " ".join(map(str, groups))
    return f'<g class="{kind}" data-groups="{numbers}"><title>{escape(text)}</title>{inside}</g>'


def _box(kind: str, x: float, y: float, width: float, height: float) -> str:
    if height <= 0:
        return ""
    return f'<rect class="{kind}" x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}"/>'


def _rail(page: NetworkPage, rail: Rail, across: _Across) -> str:
    group = page.groups[rail.group]
    y = _TOP + _BARS + 12 + _LANE * (rail.lane + 0.5)
    places = [across.middle(index) for index in rail.layers]
    line = ""
    if len(places) > 1:
        line = f'<line class="rail" x1="{places[0]:.2f}" x2="{places[-1]:.2f}" y1="{y:g}" y2="{y:g}"/>'
    dots = "".join(f'<circle cx="{x:.2f}" cy="{y:g}" r="{across.dot:.2f}"/>' for x in places)
    units = f"{group.width} cells of {group.cell} channels" if group.cell > 1 else f"{group.width} channels"
    shared = f"shared by {', '.join(group.layers)}" if len(group.layers) > 1 else f"of {group.name}"
    text = f"{units} {shared}: {group.status}" + (f", {group.reason}" if group.reason else "")
    return _answering(f"width {group.status.partition('-')[0]}", [rail.group], text, line + dots)


def describe(page: NetworkPage, layer: LayerBar) -> str:
    """Return one line of plain text on a layer."""
    share = f"{100 * layer.macs / page.macs:.1f} % of all" if page.macs else ""
    stays = f", {100 * layer.macs_left / layer.macs:.1f} % of them stay" if layer.macs else ""
    width = f", {layer.width} channels" if layer.width is not None else ""
    place = f" at {layer.source}" if layer.source else ""
    reasons = "; ".join(dict.fromkeys(_reasons(page, layer.groups)))
    text = f"{layer.name}: {layer.operator}{place}{width}, {number(layer.macs, 'count')} MACs ({share}){stays}"
    return f"{text}; {reasons}" if reasons else text


def _reasons(page: NetworkPage, groups: Iterable[int]) -> Iterator[str]:
    for group in (page.groups[position] for position in groups):
        if group.reason:
            yield f"{group.status}: {group.reason}"


def _ceiling(value: float) -> float:
    """The next round number that four grid lines divide well."""
    if value <= 0:
        return 1.0
    scale = 10 ** math.floor(math.log10(value))
    return next(step * scale for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if step * scale >= value)
