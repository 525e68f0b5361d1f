"""Options that several commands share, and the parsers of their values."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Decorator = Callable[[Decorated], Decorated]

REFERENCE = re.compile(r"^(torchvision|timm|models):.|\.py:.")


def json_option(function: Decorated) -> Decorated:
    """``--json``: one JSON document on stdout instead of tables."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout, for machines.")(function)


def force_option(function: Decorated) -> Decorated:
    """``--force``: allow existing output files to be replaced."""
    return click.option("--force", is_flag=True, help="Replace output files that exist already.")(function)


def loading_options(function: Decorated) -> Decorated:
    """``--model``, ``--trust-checkpoint`` and ``--input-size``: how a checkpoint becomes a network."""
    decorators: list[Decorator[Any]] = [
        click.option(
            "--model",
            metavar="REF",
            help="Architecture of a bare state dict: torchvision:resnet50, timm:NAME?num_classes=10, models:resnet20 or "
            "path/file.py:factory. Recognised from the weights where not given.",
        ),
        click.option(
            "--trust-checkpoint", is_flag=True, help="Allow a checkpoint that runs code when loaded (a pickled module)."
        ),
        click.option(
            "--input-size",
            metavar="C,H,W",
            callback=_input_size,
            help="Input size without the batch, such as 3,224,224. Default: the one recorded for the architecture.",
        ),
    ]
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def training_options(function: Decorated) -> Decorated:
    """The options of finetuning that ``finetune`` and ``prune --epochs`` share."""
    decorators: list[Decorator[Any]] = [
        click.option("--batch-size", type=click.IntRange(min=1), help="Samples per step (all processes together)."),
        click.option("--lr", type=click.FloatRange(min=0, min_open=True), help="Peak learning rate."),
        click.option("--optimizer", type=click.Choice(["sgd", "adamw"]), help="Default: sgd."),
        click.option("--precision", type=click.Choice(["no", "bf16", "fp16"]), help="Mixed precision. Default: no."),
        click.option("--loss", metavar="FILE.py:FUNCTION", help="Loss instead of cross-entropy."),
        click.option("--metric", metavar="FILE.py:FUNCTION", help="Metric instead of top-1 and top-5."),
        click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of everything random."),
    ]
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def is_reference(text: str) -> bool:
    """Return whether ``text`` names an architecture (``torchvision:resnet18``) and not a file."""
    return bool(REFERENCE.search(text)) and not Path(text).exists()


def parse_keep(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
    """Parse ``PATTERN=RATIO`` options into a mapping of pattern to the share of channels kept (0 to 1)."""
    ratios: dict[str, float] = {}
    for value in values:
        pattern, _, number = value.rpartition("=")
        try:
            ratio = float(number)
        except ValueError:
            ratio = -1.0
        if not pattern or not 0 < ratio <= 1:
            raise click.BadParameter(f"{value!r}: write PATTERN=RATIO with 0 < RATIO <= 1, such as 'layer1.*=0.75'")
        ratios[pattern] = ratio
    return ratios


def parse_share(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    """Parse ``5%`` or ``0.05`` into 0.05."""
    if value is None:
        return None
    text = value.strip()
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = float("nan")
    if not 0 <= share < 10:
        raise click.BadParameter(f"{value!r}: write a share such as 5% or 0.05")
    return share


def _input_size(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    parts = [part.strip() for part in re.split(r"[,x]", value)]
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"{value!r}: write positive whole numbers without the batch, such as 3,224,224")
    return tuple(int(part) for part in parts)
