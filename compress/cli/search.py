"""``compress search``: one search, a whole front of small networks, and final models of those that are picked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from compress.cli.console import Console
from compress.cli.interrupt import resumable
from compress.cli.options import json_option, loading_options, parse_keep, restart_option, take, training_options
from compress.cli.search_spaces import OWN, refuse_foreign, spaces_options
from compress.cli.search_spaces import run as search_spaces
from compress.pipeline.tables import amount, percent

if TYPE_CHECKING:
    from compress.pipeline.search import SearchOutcome
    from compress.search.front import Front

EXAMPLES = """\b
Examples:
  compress search model.pt --method jcw --data digits --latency-model model.latency.json
  compress search model.pt --data digits --latency-model m.json --pick latency=0.5 --pick knee --epochs 20
  compress search model.pt --data digits --latency-model m.json --resume          go on where it stopped
  compress search model.pt --data digits --objective macs --decide widths         channels alone, no runtime
  compress search model.pt --data REF --latency-model m.json --storage postgresql://me@host/db   on every machine
  compress search model.pt --method spaces --data digits --regime 0.5          distributions of recipes, plans
  compress search --from model.search --pick all=4 --epochs 20                    later, without searching again
"""
SEARCHING = (
    "method", "decide", "lowest_width", "lowest_density", "least_width", "least_density", "ignore", "start", "supernet",
    "supernet_epochs", "supernet_lr", "statistics", "eval_samples", "trials", "population", "targets", "at_once",
    "storage", "study", "resume", "objective", "latency_model", "model",
)  # fmt: skip
_SHARE = click.FloatRange(0, 1, min_open=True)
_POSITIVE = click.FloatRange(0, min_open=True)


@click.command(short_help="Search channels and weights together: one search, many deployments.", epilog=EXAMPLES)
@click.argument("checkpoint", required=False, type=click.Path(path_type=Path))
@click.option("--method", type=click.Choice(["jcw", "spaces"]), default="jcw", show_default=True, help="How to search.")
@click.option("--from", "source", type=click.Path(path_type=Path), metavar="DIR", help="Pick from a search that ended.")
@click.option("--data", metavar="REF", help="Data to train and judge on: digits, imagefolder:DIR, ...")
@loading_options
@click.option(
    "--objective",
    type=click.Choice(["latency", "macs"]),
    default="latency",
    show_default=True,
    help="Beside the loss: predicted latency, or MACs with zeros counted as removed (no measure of time).",
)
@click.option("--latency-model", type=click.Path(path_type=Path), metavar="FILE", help="From compress calibrate.")
@click.option("--decide", type=click.Choice(["both", "widths", "weights"]), default="both", show_default=True)
@click.option("--lowest-width", type=_SHARE, default=0.5, show_default=True, help="Least share of any width.")
@click.option("--lowest-density", type=_SHARE, default=0.3, show_default=True, help="Least share of weights, 4x1.")
@click.option(
    "--least-width",
    multiple=True,
    metavar="PATTERN=RATIO",
    callback=parse_keep,
    help="Another least share for widths that these layers produce; repeatable.",
)
@click.option(
    "--least-density",
    multiple=True,
    metavar="PATTERN=RATIO",
    callback=parse_keep,
    help="Another least density for these layers; repeatable.",
)
@click.option("--ignore", multiple=True, metavar="PATTERN", help="Layers left as they are; repeatable.")
@click.option(
    "--trials", type=click.IntRange(min=1), default=512, show_default=True, help="Candidates, of all workers."
)
@click.option("--population", type=click.IntRange(min=2), default=32, show_default=True)
@click.option(
    "--targets",
    type=click.IntRange(min=2),
    default=4,
    show_default=True,
    help="Costs from the lowest to the whole network's that the population is spread around.",
)
@click.option(
    "--at-once",
    type=click.IntRange(min=1),
    help="Trials judged by one reading of the data. Default: 1 where all of it is kept in memory, else 8.",
)
@click.option(
    "--start",
    type=click.Choice(["checkpoint", "scratch"]),
    default="checkpoint",
    show_default=True,
    help="What the shared weights begin with.",
)
@click.option(
    "--supernet",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The shared weights: taken from there, or trained into it. [supernet.pt in the output folder]",
)
@click.option("--supernet-epochs", type=_POSITIVE, default=10.0, show_default=True, help="Their training.")
@click.option("--supernet-lr", type=_POSITIVE, help="[0.02; 0.05 from scratch]")
@click.option(
    "--statistics",
    type=click.IntRange(min=0),
    default=8,
    show_default=True,
    help="Batches of 128 that a candidate's batch norm is averaged over.",
)
@click.option(
    "--eval-samples",
    type=click.IntRange(min=1),
    default=2048,
    show_default=True,
    help="Held-out samples that a candidate is judged on.",
)
@click.option("--storage", metavar="URL", help="sqlite:///FILE, postgresql://..., journal:///FILE; shared by workers.")
@click.option("--study", metavar="NAME", help="In the storage. [the checkpoint's name]")
@click.option("--resume", is_flag=True, help="Go on with a study that was interrupted.")
@click.option(
    "--patience",
    type=_POSITIVE,
    default=300.0,
    show_default=True,
    help="Seconds that a storage which does not answer is waited for.",
)
@click.option(
    "--pick",
    "picks",
    multiple=True,
    metavar="WHICH",
    help="Make a final model: latency=0.5 (or macs=0.5), latency=12ms, knee, all, all=4; repeatable.",
)
@click.option("--epochs", type=click.IntRange(min=0), default=10, show_default=True, help="Training of each of them.")
@click.option("--rho", type=_POSITIVE, help="How strongly ADMM draws. Default: as the epochs need, at least 0.01.")
@training_options
@click.option("--runtime", help="Where final models are measured. [the latency model's; onnxruntime-cpu]")
@click.option("--device", metavar="NAME", help="On which device. [here]")
@click.option("--threads", type=click.IntRange(min=1), help="[the latency model's; 1]")
@click.option("--seconds", type=_POSITIVE, default=3.0, show_default=True, help="Measuring time per file.")
@spaces_options
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="[CHECKPOINT.search, or .spaces]")
@restart_option
@json_option
@click.pass_context
def command(context: click.Context, checkpoint: Path | None, as_json: bool, **options: Any) -> None:
    """Search how many channels of CHECKPOINT to keep and how many of their weights: loss against latency.

    The result is a front of candidates in DIR/front.json. --pick makes final models of some of them. The same command
    on several machines with one --storage shares one search; a worker that is killed loses the trial it was on.
    """  # fmt: skip
    from compress.pipeline.finetuning import TrainingOptions
    from compress.pipeline.loading import Loading
    from compress.pipeline.search import run
    from compress.pipeline.search_request import (
        Costing,
        Deciding,
        Finals,
        Place,
        SearchRequest,
        SuperNetOptions,
        Trials,
    )  # fmt: skip

    console = Console(as_json=as_json)
    method = options.pop("method")
    refuse_foreign(context, method)
    if method == "spaces":
        search_spaces(checkpoint, options, console)
        return
    options = {name: value for name, value in options.items() if name not in OWN}
    if options["source"] is not None:
        _refuse_beside_from(context)
    request = SearchRequest(
        checkpoint,
        options.pop("source"),
        options.pop("data"),
        take(Loading, options),
        take(Deciding, options),
        take(SuperNetOptions, options),
        take(Trials, options),
        take(Place, options),
        take(Costing, options),
        take(Finals, options),
        take(TrainingOptions, options),
        **options,
    )
    with resumable("give the same command with --resume to go on; what was done is kept"):
        outcome = run(request, console)
    console.result(as_data(outcome))
    show(outcome, console)


def _refuse_beside_from(context: click.Context) -> None:
    """What belongs to the search would be ignored silently."""
    for name in SEARCHING:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} belongs to the search, and --from makes none")


def as_data(outcome: SearchOutcome) -> dict[str, Any]:
    """Return the outcome as JSON types."""
    from dataclasses import asdict

    return {
        **outcome.front.to_json(),
        "finals": [asdict(final) for final in outcome.finals],
        "folder": str(outcome.folder),
        "report": str(outcome.report) if outcome.report else None,
    }


def show(outcome: SearchOutcome, console: Console) -> None:
    """Print the outcome as tables for people."""
    front = outcome.front
    console.table(*_front_table(front), title="The front: no other candidate is better in both")
    _show_throughput(front, console)
    if outcome.finals:
        rows = [
            (
                final.deployed,
                percent(final.accuracy.get("top1")),
                _cost(final.predicted, final.unit),
                "unknown" if final.measured is None else f"{final.measured:.3f} ms",
                "unknown" if final.ratio is None else f"{final.ratio:.3f}",
                amount(final.macs),
                amount(final.nonzero_macs),
            )
            for final in outcome.finals
        ]
        heads = ("model", "accuracy", "predicted", "measured", "of dense", "MACs", "zeros removed")
        console.table(heads, rows, title="Final models")
        for final in outcome.finals:
            if final.why:
                console.line(f"not measured: {final.deployed}: {final.why}")
    console.line(f"wrote {outcome.folder / 'front.json'}")
    if outcome.report is not None:
        console.line(f"wrote {outcome.report}")


def _front_table(front: Front) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    heads = ("trial", "loss", f"predicted {front.cost}", "of dense", "channels kept", "weights kept")
    rows: list[tuple[str, ...]] = [
        (
            str(point.number),
            f"{point.loss:.4f}",
            _cost(point.cost, front.unit),
            f"{point.cost / front.dense:.3f}",
            _range(list(point.candidate.widths.values()), whole=True),
            _range([100 * share for share in point.candidate.densities.values()], whole=False),
        )
        for point in front.points
    ]
    return heads, rows


def _range(values: list[Any], *, whole: bool) -> str:
    if not values:
        return "all"
    low, high = min(values), max(values)
    return f"{low} to {high}" if whole else f"{low:.0f} to {high:.0f} %"


def _cost(value: float, unit: str) -> str:
    return f"{value:.3f} ms" if unit == "ms" else f"{amount(value)} {unit}"


def _show_throughput(front: Front, console: Console) -> None:
    known = front.throughput
    if not known.get("trials"):
        return
    seconds = known["seconds"]
    parts = ", ".join(f"{part} {spent:.1f} s" for part, spent in seconds.items() if spent >= 0.05)
    console.line(
        f"{known['trials']} trials here, {known['candidates_per_second']:.2f} candidates per second ({parts}); "
        f"selection and storage {percent(known['selection_and_storage'])}"
    )
