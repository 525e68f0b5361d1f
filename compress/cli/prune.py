"""``compress prune``: a trained network in, one with fewer channels out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from compress.cli.console import Console
from compress.cli.interrupt import resumable
from compress.cli.masking import masking_options, show_sparsity
from compress.cli.options import (
    force_option,
    json_option,
    latency_options,
    loading_options,
    parse_keep,
    ranking_options,
    restart_option,
    stepping_options,
    take,
    training_options,
)
from compress.pipeline.tables import amount, metric, out_of_reach, percent

if TYPE_CHECKING:
    from compress.pipeline.prune import PruneOutcome
    from compress.prune_report import PruneReport

CHOOSING = (
    "target", "criterion", "aggregation", "normalisation", "scope", "granularity", "ignore", "keep",
    "min_keep", "steps", "schedule",
)  # fmt: skip
MASKING = ("sparsity_criterion", "sparsity_allocation", "sparsity_schedule", "sparsity_least", "dense", "mask")
STAGES = {
    "dense": "dense network",
    "pruned": "after cutting",
    "batch_norm": "after batch-norm re-estimation",
    "finetuned": "after finetuning",
}

EXAMPLES = """\b
Examples:
  compress prune model.pt                                 half the MACs, writes model.pruned.pt2
  compress prune model.pt --target params=0.3 --dry-run   what would happen; writes nothing
  compress prune model.pt --target macs=0.5 --target params=0.6    both at once
  compress prune model.pt --model torchvision:resnet50 --data imagefolder:photos --epochs 10
  compress prune model.pt --keep 'layer4.*=0.25' --ignore 'layer1.*' --save-plan plan.json
  compress prune model.pt --plan plan.json                the same channels again
  compress prune model.pt --criterion fisher --steps 4 --data imagefolder:photos --epochs 20
  compress prune model.pt --target latency=0.6@onnxruntime-cpu --granularity auto    measured, and corrected
  compress prune model.pt --sparsity 0.8 --pattern 4x1    zeros instead of fewer channels
  compress prune model.pt --target macs=0.6 --sparsity 0.8    both: channels first, then zeros in what is left
"""


def _granularity(_context: click.Context, _parameter: click.Parameter, value: str) -> int | str:
    if not value.isascii() or not value.isdigit():
        return value
    if int(value) < 1:
        raise click.BadParameter("0 is not in the range x>=1.")
    return int(value)


@click.command(short_help="Remove channels: a smaller network out of a trained one.", epilog=EXAMPLES)
@click.argument("checkpoint", type=click.Path(path_type=Path))
@loading_options
@click.option("--data", metavar="REF", help="Data to measure accuracy and finetune on: digits, imagefolder:DIR, ...")
@click.option(
    "--target",
    multiple=True,
    default=("macs=0.5",),
    show_default=True,
    metavar="WHAT=SHARE",
    help="Share left over: macs=0.5, params=0.5, memory=0.5 (peak of the activations) or ratio=0.5 (of the channels); "
    "latency=0.6@RUNTIME or latency=12ms@RUNTIME is measured there, and corrected. "
    "Repeatable: all are met where possible, else the first comes first.",
)
@ranking_options
@click.option(
    "--granularity",
    metavar="N|auto|auto@RUNTIME",
    default="8",
    show_default=True,
    callback=_granularity,
    help="Channel counts are multiples of this; auto measures once which widths pay on the runtime, layer by layer.",
)
@latency_options
@click.option("--ignore", multiple=True, metavar="PATTERN", help="Layers left as they are; may be repeated.")
@click.option(
    "--keep",
    multiple=True,
    metavar="PATTERN=RATIO",
    callback=parse_keep,
    help="Share kept in these layers; repeatable.",
)
@stepping_options
@masking_options
@click.option("--plan", "plan_file", type=click.Path(path_type=Path), help="Replay a saved plan instead of choosing.")
@click.option("--save-plan", type=click.Path(path_type=Path), help="Also write the plan as JSON.")
@click.option(
    "--eager",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Choose only what the model's own class can be, and write structure.json and plain weights for it there.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be cut; write nothing.")
@click.option("--epochs", type=click.IntRange(min=0), default=0, help="Finetune this long afterwards (needs --data).")
@training_options
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Default: CHECKPOINT.pruned.pt2 beside it.")
@force_option
@restart_option
@json_option
@click.pass_context
def command(context: click.Context, checkpoint: Path, as_json: bool, **options: Any) -> None:
    """Remove channels from CHECKPOINT until the target is met; with --data, measure and finetune.

    With --sparsity or --pattern weights are set to zero for good. Channels are cut too, before that, where --target is
    given beside --sparsity (or beside --pattern 2:4).
    """
    from compress.pipeline.finetuning import TrainingOptions
    from compress.pipeline.latency_target import LatencyOptions
    from compress.pipeline.loading import Loading
    from compress.pipeline.masking import Masking
    from compress.pipeline.prune import Choice, PruneRequest, run

    console = Console(as_json=as_json)
    _refuse_beside_plan(context)
    if _is_given(context, "schedule") and options["steps"] == 1:
        raise click.UsageError("--schedule says how far each of several steps goes: give --steps 4, too")
    cut = _masks_instead_of_cutting(context, options)
    parts = take(Choice, options), take(Masking, options), cut, take(Loading, options), take(LatencyOptions, options)
    request = PruneRequest(checkpoint, *parts, take(TrainingOptions, options), **options)
    with resumable(request.how_to_resume()):
        outcome = run(request, console)
    console.result(as_data(outcome))
    show(outcome, console)


def _refuse_beside_plan(context: click.Context) -> None:
    """A plan says what is kept: an option that says otherwise would be ignored silently."""
    given = [name for name in CHOOSING if _is_given(context, name)]
    if context.params["plan_file"] is not None and given:
        raise click.UsageError(
            f"--plan decides what is kept, so --{given[0].replace('_', '-')} cannot be given beside it"
        )


def _masks_instead_of_cutting(context: click.Context, options: dict[str, Any]) -> bool:
    """Whether channels are to be cut. A target beside ``--pattern`` alone is what the masks are to reach."""
    if options["sparsity"] is None and options["pattern"] is None:
        given = [name for name in MASKING if _is_given(context, name)]
        if given:
            raise click.UsageError(
                f"--{given[0].replace('_', '-')} says how to mask, but not what: give --sparsity 0.8"
            )
        return True
    if options["plan_file"] is not None:
        return True
    cutting = [name for name in CHOOSING if _is_given(context, name)]
    alone = options["sparsity"] is None and options["pattern"] != "2:4"
    if alone and cutting == ["target"] and len(options["target"]) == 1:
        options["sparsity"] = options["target"][0]
        return False
    if "target" not in cutting and cutting:
        raise click.UsageError(
            f"--{cutting[0].replace('_', '-')} is about channels, and masks alone are asked for: give --target, too"
        )
    return bool(cutting)


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def as_data(outcome: PruneOutcome) -> dict[str, Any]:
    """Return the outcome as JSON types."""
    from compress.pipeline.prune import summary

    return (summary(outcome.result) if outcome.result else {}) | {
        "sparsity": outcome.sparsity.to_json() if outcome.sparsity else None,
        "latency": outcome.latency.to_json() if outcome.latency else None,
        "output": str(outcome.output) if outcome.output else None,
        "eager": str(outcome.eager) if outcome.eager else None,
        "plan": str(outcome.plan) if outcome.plan else None,
        "plan_sha256": outcome.program.info.plan_sha256,
        "accuracy": outcome.accuracy or outcome.why_no_accuracy,
    }


def show(outcome: PruneOutcome, console: Console) -> None:
    """Print the outcome as tables for people."""
    if outcome.result is not None:
        _show_cut(outcome.result.report, console)
    if outcome.latency is not None:
        console.line(str(outcome.latency))
    if outcome.sparsity is not None:
        show_sparsity(outcome.sparsity, console)
    for stage, metrics in (outcome.accuracy or {}).items():
        said = STAGES[stage] if outcome.result else STAGES[stage].replace("cutting", "masking")
        console.line(f"accuracy, {said}: {metric(metrics)}")
    if outcome.accuracy is None:
        console.line(outcome.why_no_accuracy)
    console.line(f"wrote {outcome.output}" if outcome.output else "dry run: no network was written")
    if outcome.plan is not None:
        console.line(f"wrote {outcome.plan}")
    if outcome.eager is not None:
        console.line(f"wrote {outcome.eager / 'structure.json'} and weights.safetensors for compress.restore")


def _show_cut(report: PruneReport, console: Console) -> None:
    layers = [
        (
            layer.name,
            layer.kind,
            _change(layer.width_before, layer.width_after),
            _left(layer),
            layer.status,
            layer.reason or "",
        )
        for layer in report.layers
    ]
    console.table(("layer", "kind", "width", "MACs left", "status", "reason"), layers)
    figures = [
        (name, amount(before), amount(after), percent(after / before if before else None))
        for name, before, after in (
            ("MACs", report.before.macs, report.after.macs),
            ("parameters", report.before.params, report.after.params),
            ("bytes", report.before.bytes, report.after.bytes),
            ("peak activation bytes", report.before.memory, report.after.memory),
        )
    ]
    console.table(("", "before", "after", "left"), figures)
    console.line(
        f"asked for {report.requested}, reached {report.achieved}" + (f": {report.note}" if report.note else "")
    )
    for line in _steps(report):
        console.line(line)
    for line in out_of_reach(report.obstacles, report.before.macs):
        console.line(f"out of reach: {line}")


def _steps(report: PruneReport) -> Iterator[str]:
    """The steps that groups went in, those that are alike together."""
    names: dict[tuple[int, str], list[str]] = {}
    for name, one in report.steps.items():
        names.setdefault((one.step, one.reason), []).append(name)
    for (step, reason), groups in sorted(names.items(), key=lambda item: -item[0][0]):
        some = ", ".join(groups[:3]) + (f" and {len(groups) - 3} more" if len(groups) > 3 else "")
        yield f"steps of {step}: {some}: {reason}"


def _change(before: int, after: int) -> str:
    return str(before) if before == after else f"{before} -> {after}"


def _left(layer: Any) -> str:
    return percent(layer.macs_after / layer.macs_before if layer.macs_before else None)
