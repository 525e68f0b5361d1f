"""Numbers and names as text for people. Everything that comes from outside goes through :func:`escape`."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

NOTHING = "—"
MINUS = "−"
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_LONGEST = 240


def escape(text: object) -> str:
    """Return ``text`` safe for HTML text and quoted attributes; what cannot be shown becomes U+FFFD."""
    return html.escape(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text)), quote=True)


def label(text: str, longest: int = 28) -> str:
    """Return ``text`` for a chart: shortened at the front, and safe for Plotly, which reads a little HTML itself."""
    short = text if len(text) <= longest else "…" + text[1 - longest :]
    return html.escape(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", short), quote=False)


def code(text: object) -> str:
    """Return ``text`` escaped, set as code (direction-isolated, so that no name can reorder what is around it)."""
    return f"<code>{escape(text)}</code>"


def number(value: float | None, unit: str) -> str:
    """Return a figure with its unit, e.g. ``4.09 G``, ``1.3 MB``, ``0.512 ms``, ``91.3 %``; a dash for ``None``."""
    if value is None:
        return NOTHING
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "infinite"
    if unit == "count":
        return _scaled(value, 1000.0, ("", "k", "M", "G", "T", "P"))
    if unit == "bytes":
        return _scaled(value, 1000.0, ("B", "kB", "MB", "GB", "TB"))
    if unit == "share":
        return f"{_minus(f'{value * 100:.2f}')} %"
    if unit == "ms":
        return f"{_minus(_digits(value))} ms"
    if unit == "per second":
        return f"{_minus(_digits(value))} /s"
    return f"{_minus(_digits(value))} {unit}".rstrip()


def change(before: float | None, after: float | None, unit: str) -> str:
    """Return what changed: points for shares, else the relative change; a dash where it cannot be told."""
    if before is None or after is None or not (math.isfinite(before) and math.isfinite(after)):
        return NOTHING
    if unit == "share":
        return f"{_signed((after - before) * 100, 2)} points"
    if before == 0:
        return "none" if after == 0 else NOTHING
    relative = (after / before - 1) * 100
    return f"{_signed(relative, 0 if abs(relative) >= 100 else 1)} %"


def value_text(value: Any) -> str:
    """Return an argument or metric as short plain text; long structures are shortened (the JSON has all of them)."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}".replace(",", " ") if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def pairs(values: Mapping[str, Any]) -> str:
    """Return a mapping as a run of ``name value`` chips; mappings inside it are flattened."""
    chips = (
        f'<span class="pair"><span>{escape(key)}</span> {code(value_text(item))}</span>' for key, item in flat(values)
    )
    return f'<div class="pairs">{"".join(chips)}</div>' if values else ""


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield a mapping's names and values; those of a mapping inside it under both names."""
    for key, item in values.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(item, dict) and item and len(prefix) < _LONGEST:
            yield from flat(item, f"{name} · ")
        else:
            yield name, item


def _scaled(value: float, base: float, prefixes: tuple[str, ...]) -> str:
    scale = 0
    while abs(value) >= base * 0.9995 and scale < len(prefixes) - 1:
        value /= base
        scale += 1
    whole = scale == 0 and float(value).is_integer()
    text = f"{value:.0f}" if whole else _digits(value)
    return f"{_minus(text)} {prefixes[scale]}".rstrip()


def _digits(value: float) -> str:
    if value == 0:
        return "0"
    rounded = abs(float(f"{value:.3g}"))
    places = max(0, min(6, 2 - math.floor(math.log10(rounded))))
    return f"{value:.{places}f}"


def _signed(value: float, places: int) -> str:
    text = f"{value:+.{places}f}"
    return text.lstrip("+-") if float(text) == 0 else _minus(text)


def _minus(text: str) -> str:
    return text.replace("-", MINUS)
