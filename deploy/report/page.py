"""Put the page together: sections, styles, Plotly's script and the charts, all in one file."""

from __future__ import annotations

import json
import re
from importlib import resources

from compress.errors import UnavailableError
from deploy.report import sections, summary
from deploy.report.charts import Figure
from deploy.report.schema import VERSION, Report
from deploy.report.text import escape

COMPLETE = "This page is complete in itself and fetches nothing."

# The page may run what is inside it and fetch nothing at all, whatever a hostile name tries.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


def render(report: Report) -> str:
    """Return ``report`` as one HTML page.

    Raises:
        UnavailableError: plotly is not installed.
    """
    charts: dict[str, Figure] = {}
    body = sections.render_all(report, charts)
    created = f" · {escape(report.created)}" if report.created else ""
    inside = (
        f'<header>\n<p class="eyebrow">{escape(report.title)}{created}</p>\n'
        f"<h1>{escape(summary.headline(report))}</h1>\n{summary.banner(report)}\n{summary.tiles(report)}\n"
        f"{_contents(body)}</header>\n"
        f"{body}\n<footer>Report version {VERSION}. {COMPLETE}</footer>"
    )
    behaviour = f"<script>{_asset('tables.js')}</script>\n"
    return document(report.title, inside, scripts=behaviour + drawing(charts))


def _contents(body: str) -> str:
    """Return links to the sections that have something to show."""
    found = re.findall(r'<section id="([\w-]+)">\n<h2>([^<]*)</h2>', body)
    links = "".join(f'<a href="#{identifier}">{title}</a>' for identifier, title in found)
    return f'<nav aria-label="Contents">{links}</nav>\n' if links else ""


def drawing(charts: dict[str, Figure]) -> str:
    """Return the ``script`` elements that draw ``charts`` (by element id): none where there are none.

    Raises:
        UnavailableError: plotly is not installed.
    """
    if not charts:
        return ""
    return (
        f'<script type="application/json" id="charts">{_embed(charts)}</script>\n'
        f"<script>{_plotly()}</script>\n<script>{_asset('page.js')}</script>\n"
    )


def document(title: str, inside: str, *, styles: str = "", scripts: str = "") -> str:
    """Return a whole page in the report's style.

    Args:
        title: plain text for the browser's tab.
        inside: HTML of the page's content.
        styles: CSS beside the report's own.
        scripts: ``script`` elements for the end of the page.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f'<title>{escape(title)}</title>\n<link rel="icon" href="data:,">\n'
        f"<style>{_asset('page.css')}{styles}</style>\n"
        f"</head>\n<body>\n<main>\n{inside}\n</main>\n{scripts}</body>\n</html>\n"
    )


def _embed(charts: dict[str, Figure]) -> str:
    """Return JSON that cannot end the script element it stands in."""
    text = json.dumps(charts, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _asset(name: str) -> str:
    return resources.files("deploy.report").joinpath(name).read_text(encoding="utf-8")


def _plotly() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise UnavailableError("the HTML report needs the plotly package", hint="pip install plotly") from error
    source: str = get_plotlyjs()
    return source.replace("</script", "<\\/script")
