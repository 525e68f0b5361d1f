"""Options that several commands share, and the parsers of their values."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
Part = TypeVar("Part")

DATA_HELP = "digits, imagefolder:DIR, cifar10:DIR, fashion-mnist:DIR, or FILE.py:FACTORY."
CRITERIA = ("l1", "l2", "bn-scale", "fpgm", "lamp", "taylor", "fisher", "obd", "activation", "random")
AGGREGATIONS = ("mean", "sum", "max", "first")
NORMALISATIONS = ("mean", "max", "gaussian", "none", "isomorphic")
SCHEDULES = ("linear", "geometric", "cubic")
Decorator = Callable[[Decorated], Decorated]


def json_option(function: Decorated) -> Decorated:
    """``--json``: one JSON document on stdout instead of tables."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document, for machines.")(function)


def force_option(function: Decorated) -> Decorated:
    """``--force``: allow existing output files to be replaced."""
    return click.option("--force", is_flag=True, help="Replace output files that exist already.")(function)


def restart_option(function: Decorated) -> Decorated:
    """``--restart``: forget the state of an interrupted run."""
    text = "Start training over where an interrupted run left its state."
    return click.option("--restart", is_flag=True, help=text)(function)


def loading_options(function: Decorated) -> Decorated:
    """``--model``, ``--trust-checkpoint``, ``--input-size``, ``--submodule``, ``--capture-timeout``: from a checkpoint
    to a network.
    """
    decorators: list[Decorator[Any]] = [
        click.option(
            "--model",
            metavar="REF",
            help="Architecture of a bare state dict: torchvision:resnet50, timm:NAME?num_classes=9, models:resnet20, "
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
        click.option("--submodule", metavar="NAME", help="Take only this part of the network, such as a backbone."),
        click.option(
            "--capture-timeout",
            type=float,
            default=600.0,
            show_default=True,
            metavar="SECONDS",
            callback=_seconds,
            help="Give up tracing a network whose code runs longer than this; 0 for no limit.",
        ),
    ]
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def ranking_options(function: Decorated) -> Decorated:
    """``--criterion``, ``--aggregation``, ``--normalisation`` and ``--scope``: how channels are ranked."""
    decorators: list[Decorator[Any]] = [
        click.option(
            "--criterion",
            metavar="NAME",
            default="l2",
            show_default=True,
            help=f"What makes a channel important: {', '.join(CRITERIA)}, or FILE.py:CLASS. taylor, fisher, obd and "
            "activation need --data.",
        ),
        click.option(
            "--aggregation",
            type=click.Choice(AGGREGATIONS),
            default="mean",
            show_default=True,
            help="Over the tensors that a channel lies in; first is the one that produces it.",
        ),
        click.option(
            "--normalisation",
            type=click.Choice(NORMALISATIONS),
            help="Makes layers comparable; isomorphic compares only those of the same structure. [mean; none for lamp]",
        ),
        click.option("--scope", type=click.Choice(["global", "local"]), default="global", show_default=True),
    ]
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def stepping_options(function: Decorated) -> Decorated:
    """``--min-keep``, ``--steps`` and ``--schedule``: how far any layer and any step may go."""
    decorators: list[Decorator[Any]] = [
        click.option(
            "--min-keep",
            type=click.FloatRange(0, 1),
            metavar="SHARE",
            help="Share of its channels that every layer keeps at least. [0.1 for global scope, 0 for local]",
        ),
        click.option(
            "--steps",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            help="Reach the target in so many steps, ranking anew in each; --epochs is shared out between them.",
        ),
        click.option(
            "--schedule",
            type=click.Choice(SCHEDULES),
            default="linear",
            show_default=True,
            help="How far each step goes: cubic goes furthest at first.",
        ),
    ]
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def training_options(function: Decorated) -> Decorated:
    """The options of finetuning that ``finetune`` and ``prune --epochs`` share."""
    decorators: list[Decorator[Any]] = [
        click.option("--batch-size", type=click.IntRange(min=1), help="Samples per step, over all processes [128]."),
        click.option("--lr", type=float, help="Learning rate after warm-up [0.01 for sgd, 0.0005 for adamw]."),
        click.option("--optimizer", type=click.Choice(["sgd", "adamw"]), help="[sgd]"),
        click.option("--momentum", type=float, help="Of SGD [0.9]."),
        click.option("--weight-decay", type=float, help="On weights, not on norms and biases [0.0005]."),
        click.option("--warmup-epochs", type=float, help="Linear warm-up, then cosine [0.5]."),
        click.option("--label-smoothing", type=float, help="[0]"),
        click.option("--clip-norm", type=float, help="Bound on the norm of the whole gradient [5]."),
        click.option("--ema", type=float, help="Decay of a moving average of the weights, such as 0.999 [none]."),
        click.option("--precision", type=click.Choice(["no", "bf16", "fp16"]), help="Mixed precision [no]."),
        click.option("--distill-alpha", type=float, help="Share of the teacher in the loss [0.5]."),
        click.option("--distill-temperature", type=float, help="[4]"),
        click.option("--loss", metavar="FILE.py:FUNCTION", help="Loss instead of cross-entropy."),
        click.option("--metric", metavar="FILE.py:FUNCTION", help="Metric instead of top-1 and top-5."),
        click.option("--metric-mode", type=click.Choice(["max", "min"]), help="Which metric is better [max]."),
        click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="For everything random."),
    ]
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def size_option(function: Decorated) -> Decorated:
    """``--size NAME=N``: sizes of dynamic dimensions, passed on as ``sizes``."""
    option = click.option(
        "--size",
        "sizes",
        multiple=True,
        metavar="NAME=N",
        callback=parse_sizes,
        help="Size of another dynamic dimension of the input, such as height=224; repeatable.",
    )
    return option(function)


def seconds_option(default: float, help_text: str) -> Decorator[Any]:
    """``--seconds``: how long to measure."""
    positive = click.FloatRange(min=0, min_open=True)
    return click.option("--seconds", type=positive, default=default, show_default=True, help=help_text)


def timeout_option(
    default: float, help_text: str = "Seconds without a sign of life after which a runtime is taken to hang."
) -> Decorator[Any]:
    """``--timeout``: when what runs elsewhere is given up."""
    positive = click.FloatRange(min=0, min_open=True)
    return click.option("--timeout", type=positive, default=default, show_default=True, help=help_text)


def measuring_options(function: Decorated) -> Decorated:
    """``--threads``, ``--batch``, ``--size`` and ``--seed``: under what a deployment file is measured."""
    decorators: list[Decorator[Any]] = [
        click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="Per operator."),
        click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Samples per run."),
        size_option,
        click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="For inputs and order."),
    ]
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def latency_options(function: Decorated) -> Decorated:
    """Where a target in latency, or the widths that pay, are meant, and files of what is known of that place."""
    file = click.Path(path_type=Path)
    decorators: list[Decorator[Any]] = [
        click.option(
            "--latency-model",
            type=file,
            metavar="FILE.latency.json",
            help="What compress calibrate wrote, to predict latency with; without it, it is calibrated first.",
        ),
        click.option(
            "--staircase",
            type=file,
            metavar="FILE",
            help="Which widths pay: read from there, or measured and kept there. [the user's cache folder]",
        ),
        click.option(
            "--threads",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            help="Of the runtime, per operator; for latency and --granularity auto.",
        ),
        click.option(
            "--device",
            metavar="NAME|ssh://USER@HOST[:PORT]",
            default="here",
            show_default=True,
            help="Where latency is measured.",
        ),
        click.option(
            "--devices",
            "devices_file",
            type=file,
            metavar="FILE",
            help="The file that names devices. [./devices.yaml, or ~/.config/compress/devices.yaml]",
        ),
        seconds_option(10.0, "Measuring time for each round of a target in latency."),
    ]
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def take(part: type[Part], options: dict[str, Any]) -> Part:
    """Build the dataclass ``part`` from the options named as its fields, and remove those from ``options``."""
    return part(**{field.name: options.pop(field.name) for field in dataclasses.fields(part)})  # type: ignore[arg-type]


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
    if share >= 1 and not text.endswith("%"):
        raise click.BadParameter(f"{value!r} would be {share:.0%}: write {text}%, or {share:.0%} where that is meant")
    return share


def parse_tolerance(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """Parse a share that has to be above 0: of noise alone one of two files is always a little slower."""
    share = parse_share(context, parameter, value)
    if share == 0:
        raise click.BadParameter(f"{value!r}: no machine can tell that nothing was lost at all; allow some, such as 2%")
    return share


def parse_sizes(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    """Parse ``NAME=N`` options into a mapping of dimension names to sizes."""
    sizes: dict[str, int] = {}
    for value in values:
        name, _, number = value.rpartition("=")
        if not name or not number.isdigit() or int(number) < 1:
            raise click.BadParameter(f"{value!r}: write NAME=N with a positive whole number, such as height=224")
        sizes[name] = int(number)
    return sizes


def _seconds(_context: click.Context, _parameter: click.Parameter, value: float) -> float:
    if not (math.isfinite(value) and value >= 0):
        raise click.BadParameter(f"{value}: write seconds such as 600, or 0 for no limit")
    return value


def _input_size(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    if value is None:
        return None
    parts = [part.strip() for part in re.split(r"[,x]", value)]
    if not all(part.isdigit() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"{value!r}: write positive whole numbers without the batch, such as 3,224,224")
    return tuple(int(part) for part in parts)
