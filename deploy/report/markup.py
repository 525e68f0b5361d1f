"""The few HTML building blocks of the page. Titles, captions and heads are ours; user text comes in escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from deploy.report.charts import Figure
from deploy.report.schema import Report, Section
from deploy.report.text import escape


class Keyed(NamedTuple):
    """A table cell and the figure that it is sorted by; ``None`` sorts last."""

    html: str
    key: float | None


def section(identifier: str, title: str, inside: str) -> str:
    """Return a section; ``inside`` is HTML."""
    return f'<section id="{identifier}">\n<h2>{title}</h2>\n{inside}\n</section>'


def missing(report: Report, key: Section, reason: str, name: str | None = None) -> str:
    """Return the line that says what is missing and why: the report's own reason, else ``reason``."""
    return f'<p class="absent">no {escape(name or _NAMES.get(key, key))}: {escape(report.missing.get(key, reason))}</p>'


_NAMES: dict[Section, str] = {"source": "source", "engines": "TensorRT engines", "profiles": "profiles"}


def definitions(rows: Iterable[tuple[str, str | None]]) -> str:
    """Return a definition list of (name, HTML); entries without a value are left out."""
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{value}</dd>' for name, value in rows if value is not None)}</dl>"


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str | Keyed]]) -> str:
    """Return a scrollable table of HTML cells; a head ending in ``|n`` makes its column numeric."""
    kinds = [' class="n"' if head.endswith("|n") else "" for head in heads]
    names = [head.removesuffix("|n") for head in heads]
    top = "".join(f'<th scope="col"{kind}>{name}</th>' for name, kind in zip(names, kinds, strict=True))
    body = "".join(f"<tr>{_cells(row, kinds)}</tr>\n" for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}"><table><thead><tr>{top}</tr></thead>'
        f"\n<tbody>{body}</tbody></table></div>"
    )


def chart(drawn: dict[str, Figure], identifier: str, caption: str, figure: Figure | None) -> str:
    """Register ``figure`` under ``identifier`` and return its place on the page; nothing where there is no figure."""
    if figure is None:
        return ""
    drawn[identifier] = figure
    height = figure["layout"]["height"]
    return (
        f'<p class="chart-title">{caption}</p><div class="chart" id="{identifier}" role="img" aria-label="{caption}" '
        f'style="min-height:{height}px"></div><noscript><p class="absent">The chart needs scripts; the tables hold the '
        "same figures.</p></noscript>"
    )


def panel_list(name: str, panels: Sequence[tuple[str, str]], *, always: bool = False) -> str:
    """Return panels of (plain title, HTML), of which the page shows one at a time and offers the choice under ``name``.

    Without scripts all of them are shown. One panel alone has no choice; its title is shown where ``always`` is set.
    """
    if len(panels) == 1 and not always:
        return panels[0][1]
    parts = [
        f'<div class="panel" data-title="{escape(title)}"><h4>{escape(title)}</h4>{inside}</div>'
        for title, inside in panels
    ]
    return f'<div class="panels" data-name="{escape(name)}">{"".join(parts)}</div>'


def _cells(row: Sequence[str | Keyed], kinds: Sequence[str]) -> str:
    (first, *rest) = (_cell(cell) for cell in row)
    cells = "".join(f"<td{kind}{key}>{html}</td>" for (html, key), kind in zip(rest, kinds[1:], strict=True))
    return f'<th scope="row"{kinds[0]}{first[1]}>{first[0]}</th>{cells}'


def _cell(cell: str | Keyed) -> tuple[str, str]:
    """Return the HTML of a cell and the attribute that it is sorted by."""
    if isinstance(cell, str):
        return cell, ""
    return cell.html, ' data-key=""' if cell.key is None else f' data-key="{cell.key:.9g}"'
