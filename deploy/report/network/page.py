"""The page of a network, put together."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib import resources

from compress.files import check_writable, write_text
from deploy.report.markup import definitions, section, table
from deploy.report.network.drawing import draw
from deploy.report.network.schema import LayerBar, NetworkPage, WidthRow
from deploy.report.page import COMPLETE, document
from deploy.report.text import NOTHING, code, escape, number

_FEW = 3
_TAGS = {"exact": "pruned", "statistics-changing": "statistics", "protected": "protected", "frozen": "frozen"}


def write(page: NetworkPage, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
    """Write the page as one self-contained HTML file, atomically. Raises :class:`InputError` where it cannot be."""
    check_writable(path, overwrite=overwrite)
    write_text(path, render(page), overwrite=overwrite)


def render(page: NetworkPage) -> str:
    """Return the page as HTML that needs no network: style, script and picture are inside it."""
    inside = "\n".join(
        (
            f'<header>\n<p class="eyebrow">{escape(page.title)}</p>\n<h1>{_headline(page)}</h1>\n{_banner(page)}\n'
            f"{_tiles(page)}\n</header>",
            _picture(page),
            _staying(page),
            _widths(page),
            _layers(page),
            section("facts", "The network", definitions((escape(name), code(text)) for name, text in page.facts)),
            f"<footer>{COMPLETE}</footer>",
        )
    )
    script = f"<script>{_asset('network.js')}</script>\n"
    return document(page.title, inside, styles=_asset("network.css"), scripts=script)


def _headline(page: NetworkPage) -> str:
    if not page.macs:
        return "This network has nothing that multiplies"
    share = _percent(page.reachable).replace(">", "More than")
    return f"{escape(share)} of the MACs lie in widths that can shrink"


def _banner(page: NetworkPage) -> str:
    if not page.obstacles:
        return ""
    names = ", ".join(code(one.operator) for one in page.obstacles[:_FEW])
    more = f" and {len(page.obstacles) - _FEW} more" if len(page.obstacles) > _FEW else ""
    share = page.macs_of_obstacles / page.macs if page.macs else 0.0
    return (
        '<p class="banner unsure"><strong>Not everything is understood.</strong><span>There is no rule for '
        f"{names}{more}: at most {escape(_percent(share))} of the MACs are out of reach because of that.</span></p>"
    )


def _tiles(page: NetworkPage) -> str:
    free = [group for group in page.groups if group.status in ("exact", "statistics-changing")]
    stays = f"{_percent(1 - page.reachable)}, however much is pruned"
    tiles = (
        ("MACs", number(page.macs, "count"), "multiply-accumulates at batch 1"),
        ("MACs that stay", number(page.macs_left, "count"), stays),
        ("Widths that can shrink", str(len(free)), f"of {len(page.groups)}"),
        ("Parameters", number(page.params, "count"), f"{len(page.layers)} layers that multiply"),
    )
    return f'<div class="tiles">{"".join(_tile(*tile) for tile in tiles)}</div>'


def _tile(name: str, now: str, was: str) -> str:
    return f'<div class="tile"><h3>{name}</h3><p class="now">{escape(now)}</p><p class="was">{escape(was)}</p></div>'


def _picture(page: NetworkPage) -> str:
    if not page.layers:
        return ""
    used = {group.status for group in page.groups}
    bars = (
        '<span class="key"><i class="swatch goes"></i>MACs that can go</span><span class="key"><i class="swatch stays">'
    )
    bars += "</i>MACs that stay</span>"
    lines = "".join(
        f'<span class="key"><i class="line {kind}"></i>{text}</span>' for kind, text in _KEYS if _status(kind) in used
    )
    return section(
        "picture",
        "The network in graph order",
        '<p class="lead">A bar for every layer that multiplies, from input to output. In the lines below the bars, '
        "dots joined by a line are layers that share one width: their channels go together or not at all. A layer with "
        "dots in several lines has several widths, such as heads and what is inside a head.</p>\n"
        f'<p class="legend">{bars}{lines}</p>\n{draw(page)}\n<p class="readout" id="readout" hidden></p>',
    )


_KEYS = (
    ("exact", "can shrink"),
    ("statistics", "can shrink, but a statistic runs over it"),
    ("protected", "protected"),
    ("frozen", "cannot shrink"),
)


def _status(kind: str) -> str:
    return "statistics-changing" if kind == "statistics" else kind


def _staying(page: NetworkPage) -> str:
    """What keeps its width, by reason, and the operators that nobody has a rule for."""
    rows = [
        (
            f'<span class="tag {_TAGS[status]}">{status}</span>',
            escape(reason),
            str(len(groups)),
            _names(layer for group in groups for layer in group.layers),
            escape(number(_left(page, status, reason), "count")),
        )
        for (status, reason), groups in _by_reason(page).items()
    ]
    inside = (
        '<p class="lead">A layer whose own width stays still shrinks with the widths that it reads, so that most of '
        "its MACs may go all the same. The last column is what stays in these layers however much is pruned.</p>"
    )
    heads = ("status", "reason", "widths|n", "layers", "MACs that stay|n")
    inside += table("What keeps its width", heads, rows) if rows else "<p>Every width can shrink.</p>"
    if page.ignore:
        patterns = ", ".join(code(pattern) for pattern in page.ignore)
        inside += f'<p class="note">Protected by you: layers named {patterns}.</p>'
    return section("stays", "What stays, and why", inside + _obstacles(page))


def _by_reason(page: NetworkPage) -> dict[tuple[str, str], list[WidthRow]]:
    found: dict[tuple[str, str], list[WidthRow]] = {}
    for group in page.groups:
        if group.status in ("protected", "frozen"):
            found.setdefault((group.status, group.reason or "no reason was recorded"), []).append(group)
    return found


def _left(page: NetworkPage, status: str, reason: str) -> int:
    mine = {
        position
        for position, group in enumerate(page.groups)
        if group.status == status and (group.reason or "no reason was recorded") == reason
    }
    return sum(layer.macs_left for layer in page.layers if mine & set(layer.groups))


def _obstacles(page: NetworkPage) -> str:
    if not page.obstacles:
        return ""
    rows = [
        (
            code(one.operator),
            escape(one.reason),
            _names(one.places),
            escape(f"{number(one.macs, 'count')} ({_percent(one.macs / page.macs if page.macs else 0.0)})"),
        )
        for one in page.obstacles
    ]
    together = page.macs_of_obstacles
    share = _percent(together / page.macs if page.macs else 0.0)
    return (
        "<h3>Operators without a rule</h3>"
        + table(
            "Operators without a rule", ("operator", "what is missing", "where", "MACs out of reach, at most|n"), rows
        )
        + f'<p class="note">All together at most {escape(number(together, "count"))} ({share}). A bound: what could be '
        "reached if the operator tied no channels to each other at all. What it touches is left whole; the rest of "
        "the network is pruned as ever.</p>"
    )


def _widths(page: NetworkPage) -> str:
    rows = (
        (
            f'<span class="mark" id="w{position}"></span>{code(group.name)}',
            f'<span class="tag {_TAGS[group.status]}">{group.status}</span>',
            f"{group.width} × {group.cell}" if group.cell > 1 else str(group.width),
            _names(group.layers),
            _bar(group.macs, page.macs) if group.macs else NOTHING,
            escape(group.reason) if group.reason else NOTHING,
        )
        for position, group in enumerate(page.groups)
    )
    lead = (
        '<p class="lead">Layers in one row lose the same channels. <em>Exact</em>: cutting a channel equals setting it '
        "to zero. <em>Statistics-changing</em>: a normalisation or mean runs over the channels, and is then taken over "
        "those that are left. <em>Protected</em> and <em>frozen</em>: stays as it is. “3 × 32” are three units of 32 "
        "neighbouring channels, such as heads, that go whole.</p>"
        '<p class="lead">The share is what a width accounts for alone: the MACs that would go if it shrank to a single '
        "unit and every other stayed. Two widths share the MACs of a layer between them, so that these do not add up."
        "</p>"
    )
    heads = ("first layer", "status", "width|n", "layers", "share of MACs|n", "reason")
    return section("widths", "Widths", lead + table("Widths", heads, rows))


def _layers(page: NetworkPage) -> str:
    rows = (
        (
            code(layer.name) + (f"<small>{escape(layer.source)}</small>" if layer.source else ""),
            escape(layer.operator),
            NOTHING if layer.width is None else str(layer.width),
            escape(number(layer.macs, "count")),
            _bar(layer.macs, page.macs),
            escape(number(layer.macs_left, "count")),
            _own_widths(page, layer),
        )
        for layer in page.layers
    )
    heads = ("layer", "operator", "channels|n", "MACs|n", "share|n", "that stay|n", "its width")
    return section("layers", "Layers", table("Layers", heads, rows))


def _own_widths(page: NetworkPage, layer: LayerBar) -> str:
    if not layer.groups:
        return "none of its own"
    return ", ".join(
        f'<a href="#w{position}">{code(page.groups[position].name)}</a> '
        f'<span class="tag {_TAGS[page.groups[position].status]}">{page.groups[position].status}</span>'
        for position in layer.groups
    )


def _names(names: Iterable[str]) -> str:
    """The first few names, the others behind a click."""
    every = list(dict.fromkeys(names))
    if len(every) <= _FEW:
        return "<br>".join(map(code, every))
    shown, rest = every[: _FEW - 1], every[_FEW - 1 :]
    hidden = "<br>".join(map(code, rest))
    return f"{'<br>'.join(map(code, shown))}<details><summary>and {len(rest)} more</summary>{hidden}</details>"


def _bar(macs: int, whole: int) -> str:
    share = macs / whole if whole else 0.0
    bar = f'<span class="share"><i style="width:{100 * share:.2f}%"></i></span>'
    return f'{bar}<span class="figure">{escape(_percent(share))}</span>'


def _percent(share: float) -> str:
    """A share that is not quite everything, or not quite nothing, does not read as if it were."""
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    if 0 < share < 0.0005:
        return "< 0.1 %"
    return f"{100 * share:.1f} %"


def _asset(name: str) -> str:
    return resources.files("deploy.report.network").joinpath(name).read_text(encoding="utf-8")
