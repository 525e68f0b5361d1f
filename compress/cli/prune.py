"""``compress prune``: a trained network in, one with fewer channels out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from compress.cli.console import Console
from compress.cli.interrupt import resumable
from compress.cli.options import force_option, json_option, loading_options, parse_keep, training_options

EXAMPLES = """\b
Examples:
  compress prune model.pt                                 half the MACs, writes model.pruned.pt2
  compress prune model.pt --target params=0.3 --dry-run   what would happen; writes nothing
  compress prune model.pt --model torchvision:resnet50 --data imagefolder:photos --epochs 10
  compress prune model.pt --keep 'layer4.*=0.25' --ignore 'layer1.*' --save-plan plan.json
  compress prune model.pt --plan plan.json                the same channels again
"""


@click.command(epilog=EXAMPLES)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@loading_options
@click.option("--data", metavar="REF", help="Data to measure accuracy and finetune on: digits, imagefolder:DIR, ...")
@click.option(
    "--target",
    default="macs=0.5",
    show_default=True,
    metavar="WHAT=SHARE",
    help="macs=0.5 or params=0.5: share of the whole left over; ratio=0.5: share of every layer's channels kept.",
)
@click.option(
    "--criterion",
    type=click.Choice(["l1", "l2", "bn-scale", "taylor", "random"]),
    default="l2",
    show_default=True,
    help="What makes a channel important. taylor needs --data.",
)
@click.option("--scope", type=click.Choice(["global", "local"]), default="global", show_default=True)
@click.option(
    "--granularity", type=click.IntRange(min=1), default=8, show_default=True, help="Channel counts are multiples of this."
)
@click.option("--ignore", multiple=True, metavar="PATTERN", help="Layers left as they are; may be repeated.")
@click.option(
    "--keep", multiple=True, metavar="PATTERN=RATIO", callback=parse_keep, help="Share kept in these layers; repeatable."
)
@click.option("--submodule", metavar="NAME", help="Prune only this part, such as a detector's backbone.")
@click.option("--plan", "plan_file", type=click.Path(path_type=Path), help="Replay a saved plan instead of choosing.")
@click.option("--save-plan", type=click.Path(path_type=Path), help="Also write the plan as JSON.")
@click.option("--dry-run", is_flag=True, help="Show what would be cut; write nothing.")
@click.option("--epochs", type=click.IntRange(min=0), default=0, help="Finetune this long afterwards (needs --data).")
@training_options
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Default: CHECKPOINT.pruned.pt2 beside it.")
@force_option
@json_option
def command(checkpoint: Path, as_json: bool, **options: Any) -> None:
    """Remove channels from CHECKPOINT until the target is met; with --data, measure and finetune."""
    console = Console(as_json=as_json)
    from compress.pipeline.prune import PruneRequest, run

    request = PruneRequest.of(checkpoint, **options)
    with resumable(request.how_to_resume()):
        outcome = run(request, console)
    console.result(outcome.as_json())
    show(outcome, console)


def show(outcome: Any, console: Console) -> None:
    """Print the outcome of pruning as tables."""
    console.table(("", "before", "after", "left"), outcome.figures(), title="Network")
    console.table(
        ("layer", "kind", "width", "MACs", "status"),
        outcome.layer_rows(),
        title="Layers",
    )
    for sentence in outcome.sentences():
        console.line(sentence)
