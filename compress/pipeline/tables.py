"""Figures as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compress.obstacles import Obstacles
    from compress.sparsity.report import SparseLayer

_UNITS = ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"))


def amount(number: float) -> str:
    """Return a count such as 125747456 as ``125.7 M``."""
    for factor, unit in _UNITS:
        if abs(number) >= factor:
            return f"{number / factor:.4g}{unit}"
    return f"{number:g}"


def size(count: float) -> str:
    """Return bytes as ``3.27 MB`` (10^6 bytes)."""
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count:g} B"


def percent(share: float | None) -> str:
    """Return 0.5012 as ``50.1 %``; nothing is known about None."""
    return "unknown" if share is None else f"{100 * share:.1f} %"


def milliseconds(value: float | None) -> str:
    """Return 1.2345 as ``1.234 ms``; nothing is known about None."""
    return "unknown" if value is None else f"{value:.3f} ms" if value < 10 else f"{value:.1f} ms"


def metric(metrics: Mapping[str, Any]) -> str:
    """Return metrics such as ``{"top1": 0.91, "loss": 0.3}`` as one line, ``top1 91.00 %, loss 0.3``."""
    shown = []
    for name, value in metrics.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        is_share = name.startswith("top") or name in ("accuracy", "miou")
        shown.append(f"{name} {100 * value:.2f} %" if is_share else f"{name} {value:.4g}")
    return ", ".join(shown)


def figure(value: float | None, unit: str) -> str:
    """Return a report's figure in its unit (``count``, ``bytes``, ``ms``, ``share``, ``per second`` or any other)."""
    if value is None:
        return "unknown"
    known = {"count": amount, "bytes": size, "ms": milliseconds, "share": lambda share: f"{100 * share:.2f} %"}
    if unit in known:
        return known[unit](value)
    return f"{amount(value)}/s" if unit == "per second" else f"{value:.4g} {unit}".rstrip()


def change(before: float | None, after: float | None, unit: str = "") -> str:
    """Return what became of a figure: a ratio, or points for a share; nothing where either value is unknown."""
    if before is None or after is None:
        return ""
    if unit == "share":
        return f"{100 * (after - before):+.2f} points"
    return f"x {after / before:.3g}" if before else ""


def out_of_reach(obstacles: Obstacles, macs: int) -> list[str]:
    """Return a line for each operator without a rule, and one for all of several; ``macs`` is the whole network's."""

    def bound(count: int) -> str:
        return f"at most {amount(count)} MACs ({percent(count / macs if macs else 0.0)})"

    found = [
        f"{bound(one.macs)} because of {one.operator}: {one.reason} "
        f"({one.places[0]}{f' and {len(one.places) - 1} more places' if len(one.places) > 1 else ''})"
        for one in obstacles.operators
    ]
    return [*found, f"{bound(obstacles.together)} because of all of these"] if len(found) > 1 else found


def zero_cells(layer: SparseLayer) -> tuple[str, ...]:
    """Return name, shape, pattern, share of zeros, MACs, and MACs counting zeros as removed."""
    return (
        layer.name,
        "x".join(map(str, layer.shape)),
        layer.pattern or "dense",
        percent(layer.sparsity),
        amount(layer.macs),
        amount(layer.nonzero_macs),
    )
