"""``compress finetune``: train a network, from a checkpoint or from random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from compress.cli.console import Console
from compress.cli.interrupt import resumable
from compress.cli.options import (
    DATA_HELP,
    force_option,
    json_option,
    loading_options,
    restart_option,
    take,
    training_options,
)
from compress.pipeline.tables import metric

EXAMPLES = """\b
Examples:
  compress finetune small.pt2 --data imagefolder:photos --epochs 10 --teacher dense.pt2
  compress finetune model.pt --model models:resnet56 --data cifar10:folder --epochs 5
  compress finetune models:digitsnet --data digits --epochs 10 -o digits.pt2     from random weights
  torchrun --nproc-per-node 2 -m compress finetune small.pt2 --data digits --epochs 3
"""


@click.command(short_help="Train a network, from a checkpoint or from nothing.", epilog=EXAMPLES)
@click.argument("checkpoint")
@loading_options
@click.option("--data", required=True, metavar="REF", help=DATA_HELP)
@click.option("--epochs", type=click.IntRange(min=1), required=True, help="How long to train.")
@click.option("--teacher", type=click.Path(path_type=Path), help="A network to distil from, such as the dense one.")
@training_options
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Default: CHECKPOINT.finetuned.pt2 beside it.")
@force_option
@restart_option
@json_option
def command(checkpoint: str, as_json: bool, **options: Any) -> None:
    """Train CHECKPOINT on data; the best epoch on the validation part is written.

    CHECKPOINT may also be an architecture (models:digitsnet, torchvision:resnet18 ...): training then starts from
    random weights. The state is kept beside the output: the same command goes on after Ctrl-C or a crash.
    """
    from compress.pipeline.finetune import FinetuneRequest, run
    from compress.pipeline.finetuning import TrainingOptions
    from compress.pipeline.loading import Loading

    console = Console(as_json=as_json)
    parts = take(Loading, options), take(TrainingOptions, options)
    request = FinetuneRequest(checkpoint, *parts, **options)
    with resumable(request.how_to_resume()):
        outcome = run(request, console)
    console.result(
        {"output": str(outcome.output), "before": outcome.before, "after": outcome.after, "log": str(outcome.log)}
    )
    console.line(f"before: {metric(outcome.before)}")
    console.line(f"after:  {metric(outcome.after)}")
    console.line(f"wrote {outcome.output} (log in {outcome.log})")
