"""The options of masking weights, and what is printed of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from compress.pipeline.tables import zero_cells

if TYPE_CHECKING:
    from compress.cli.console import Console
    from compress.sparsity.report import SparsityReport

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

PATTERNS = ("unstructured", "4x1", "2x1", "2:4")
CRITERIA = ("magnitude", "movement", "taylor", "learned")
ALLOCATIONS = ("uniform", "global", "erk", "macs")
SCHEDULES = ("one-shot", "cubic")


def masking_options(function: Decorated) -> Decorated:
    """``--sparsity``, ``--pattern``, ``--sparsity-...``, ``--dense`` and ``--mask``: weights set to zero for good."""
    decorators: list[Callable[[Any], Any]] = [
        click.option(
            "--sparsity",
            metavar="SHARE",
            multiple=True,
            callback=_one,
            help="Set this share of the weights of the masked layers to zero for good, such as 0.8; or macs=0.3, "
            "params=0.3: what is left of the network's, counting zeros as removed. Without --target no channel is cut.",
        ),
        click.option(
            "--pattern",
            type=click.Choice(PATTERNS),
            help="Shape of the zeros: single weights; blocks of 4 or 2 output channels; two of four input channels "
            "(half by itself). Alone with --target: the target counts zeros as removed. [unstructured]",
        ),
        click.option(
            "--sparsity-criterion",
            type=click.Choice(CRITERIA),
            default="magnitude",
            show_default=True,
            help="What makes a weight important; all but magnitude need --data.",
        ),
        click.option(
            "--sparsity-allocation",
            type=click.Choice(ALLOCATIONS),
            default="uniform",
            show_default=True,
            help="How zeros are shared out: the same share everywhere, one threshold, Erdos-Renyi-kernel, or where "
            "they save most MACs.",
        ),
        click.option(
            "--sparsity-schedule",
            type=click.Choice(SCHEDULES),
            default="one-shot",
            show_default=True,
            help="All zeros before the finetuning, or more and more during its first 60 %.",
        ),
        click.option(
            "--sparsity-least",
            type=click.FloatRange(0, 1, max_open=True),
            default=0.01,
            show_default=True,
            metavar="SHARE",
            help="Share of its weights or blocks that every masked layer keeps at least.",
        ),
        click.option(
            "--dense",
            multiple=True,
            metavar="PATTERN",
            help="Layers without zeros, beside stem, depthwise, squeeze-and-excite and last layers; repeatable.",
        ),
        click.option(
            "--mask",
            multiple=True,
            metavar="PATTERN",
            help="Layers to be masked although they are stem, depthwise, squeeze-and-excite or last; repeatable.",
        ),
    ]
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def _one(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> str | None:
    """``--target`` may be repeated, which makes this look as if it could be; click would drop all but the last."""
    del context, parameter
    if len(values) > 1:
        raise click.BadParameter(f"one is met, and {len(values)} were given: {', '.join(values)}")
    return values[0] if values else None


def show_sparsity(report: SparsityReport, console: Console) -> None:
    """Print the report of masking: a table of layers, what was asked for and reached."""
    rows = [(*zero_cells(layer), layer.reason or "") for layer in report.layers]
    console.table(("layer", "weight", "pattern", "zeros", "MACs", "MACs counting zeros", "reason"), rows)
    console.line(f"asked for {report.requested}: {report.achieved}" + (f"; {report.note}" if report.note else ""))
    console.line("zeros make nothing faster by themselves: MACs counting zeros are no measure of time")
