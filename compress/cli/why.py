"""``compress why``: where the time of a file goes, layer by layer, against another, and what would pay."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compress.cli.console import Console
from compress.cli.options import force_option, json_option, measuring_options, seconds_option
from compress.cli.outputs import report_outputs
from compress.pipeline.tables import amount

if TYPE_CHECKING:
    from deploy.why.records import Advice, Explanation, Row, Side

EXAMPLES = """\b
Examples:
  compress why base.onnx small.onnx
  compress why base.onnx small.onnx --threads 2 --all
  compress why base.onnx small.onnx -o why.html -o why.json
"""
_SHARE = 0.02  # of a file's operators: what takes less is left out of the table
_FEWEST_ROWS, _MOST_ROWS = 10, 20
_MOST_EXTRAS = 6


@click.command(short_help="Why is NEW not faster than BASE? Layer by layer, and what would pay.", epilog=EXAMPLES)
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--runtime", default="onnxruntime-cpu", show_default=True, help="Where to run; see compress doctor.")
@seconds_option(20.0, "Measuring time in all.")
@click.option("--all", "everything", is_flag=True, help="Show every layer, not only those that matter.")
@measuring_options
@report_outputs
@force_option
@json_option
def command(as_json: bool, everything: bool, **options: Any) -> None:
    """Take two ONNX files apart in a runtime: the time, MACs and bytes of every layer side by side, what bounds each
    on this machine (compute, memory or the call), copies, and the three changes of NEW that would pay most.
    """
    from compress.pipeline.why import WhyRequest, run

    console = Console(as_json=as_json)
    found = run(WhyRequest(**options), console)
    console.result(found.model_dump(mode="json"))
    console.line(found.verdict)
    rows = found.rows if everything else _that_matter(found.rows)
    console.line()
    console.table(
        ("layer", "base", "new", "MACs base", "new", "bound (reached) base", "new", "remarks"),
        [_cells(row) for row in rows],
    )
    if len(rows) < len(found.rows):
        console.line(f"{len(found.rows) - len(rows)} more take little time (--all shows them)")
    _say_extras(console, found)
    _say_advice(console, found.advice, found)
    for path in options["outputs"]:
        console.line(f"wrote {path}")


def _that_matter(rows: Sequence[Row]) -> list[Row]:
    """The rows that take a noticeable share of either file, within limits."""
    totals = [sum(side.milliseconds for row in rows if (side := getattr(row, which))) for which in ("base", "new")]
    kept = [
        row
        for row in rows
        if any(
            side is not None and side.milliseconds > _SHARE * total
            for side, total in zip((row.base, row.new), totals, strict=True)
        )
    ]
    return list(rows[: max(_FEWEST_ROWS, min(len(kept), _MOST_ROWS))])


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.name,
        _time(row.base),
        _time(row.new),
        _macs(row.base),
        _macs(row.new),
        _bound(row.base),
        _bound(row.new),
        "; ".join(row.remarks),
    )


def _time(side: Side | None) -> str:
    return "-" if side is None else f"{side.milliseconds:.3f} ms"


def _macs(side: Side | None) -> str:
    if side is None:
        return "-"
    return "unknown" if side.macs is None else amount(side.macs) if side.macs else ""


def _bound(side: Side | None) -> str:
    if side is None or side.attained is None:
        return ""
    share = f"{100 * side.attained:.0f} %"
    return f"none ({share})" if side.bound == "unknown" else f"{side.bound} ({share})"


def _say_extras(console: Console, found: Explanation) -> None:
    for name, copies in found.extras.items():
        if copies:
            more = f", and {len(copies) - _MOST_EXTRAS} more" if len(copies) > _MOST_EXTRAS else ""
            console.line(f"{name} copies and converts: {', '.join(copies[:_MOST_EXTRAS])}{more}")


def _say_advice(console: Console, advice: Sequence[Advice], found: Explanation) -> None:
    console.line()
    if not advice:
        console.line("Nothing that was weighed would make it noticeably faster.")
    for number, item in enumerate(advice, start=1):
        console.line(f"{number}. {item.change}")
        console.line(f"   {item.because}")
        console.line(f"   {_gain(item, found)}; {item.how}")
    for text in found.considered:
        console.line(f"weighed: {text}")


def _gain(item: Advice, found: Explanation) -> str:
    share = f"{item.saves / found.new_ms:.0%} of {found.new_ms:.3g} ms".replace("%", " %")
    if item.measured is None:
        return f"saves at most about {item.saves:.3g} ms ({share}), estimated"
    within = "" if item.low is None or item.high is None else f", 99 % interval {item.low:.3g} to {item.high:.3g}"
    expected = "" if item.estimated is None else f"; estimated {item.estimated:.3g} ms"
    return f"saves {item.measured:.3g} ms ({share}), measured{within}{expected}"
