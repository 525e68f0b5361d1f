"""``compress search --method spaces``: its own options, and what it prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from compress.cli.console import Console
from compress.cli.interrupt import resumable
from compress.cli.options import take
from compress.pipeline.tables import percent

if TYPE_CHECKING:
    from compress.pipeline.search_spaces import SpacesOutcome

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

OWN = ("regimes", "recipes", "refined", "buckets", "reading", "steps", "granularity", "least_share")
"""Options that belong to this method alone."""
SHARED = frozenset(
    (
        *("method", "checkpoint", "data", "model", "trust_checkpoint", "input_size", "submodule", "capture_timeout"),
        *("storage", "study", "resume", "patience", "ignore", "output", "as_json", "seed", "batch_size", "lr"),
    )
)
"""Options of the command that this method takes, too; what else is given is refused."""
_SHARE = click.FloatRange(0, 1, min_open=True)


def spaces_options(function: Decorated) -> Decorated:
    """The options of ``--method spaces``."""
    least = click.IntRange(min=1)
    decorators = [
        click.option(
            "--regime",
            "regimes",
            multiple=True,
            type=_SHARE,
            default=(0.75, 0.5, 0.25),
            show_default=True,
            help="spaces: share of the MACs that recipes keep; repeatable.",
        ),
        click.option(
            "--recipes", type=least, default=32, show_default=True, help="spaces: judged of the whole space, a regime."
        ),
        click.option("--refined", type=least, default=16, show_default=True, help="spaces: of the refined space."),
        click.option("--buckets", type=least, default=5, show_default=True, help="spaces: of the ratio."),
        click.option(
            "--reading",
            type=click.Choice(["network", "stages"]),
            default="network",
            show_default=True,
            help="spaces: whose MACs per parameter refine the space; both are logged.",
        ),
        click.option(
            "--steps", type=click.IntRange(min=0), default=100, show_default=True, help="spaces: training of a recipe."
        ),
        click.option(
            "--granularity", type=least, default=1, show_default=True, help="spaces: widths are multiples of it."
        ),
        click.option(
            "--least-share", type=_SHARE, default=0.1, show_default=True, help="spaces: that every group keeps."
        ),
    ]
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def refuse_foreign(context: click.Context, method: str) -> None:
    """Refuse options of the other method: they would be ignored silently."""
    for name in context.params:
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
            continue
        foreign = name not in (*OWN, *SHARED) if method == "spaces" else name in OWN
        if foreign:
            option = {"source": "from", "picks": "pick", "regimes": "regime"}.get(name, name)
            raise click.UsageError(f"--{option.replace('_', '-')} does not belong to --method {method}")


def run(checkpoint: Path | None, options: dict[str, Any], console: Console) -> None:
    """Search pruning spaces, and print what was found."""
    from compress.pipeline.finetuning import TrainingOptions
    from compress.pipeline.loading import Loading
    from compress.pipeline.search_request import Place
    from compress.pipeline.search_spaces import Populations, SpacesRequest, Spanning
    from compress.pipeline.search_spaces import run as search

    if checkpoint is None or options["data"] is None:
        raise click.UsageError("--method spaces takes a CHECKPOINT, and --data to judge by")
    request = SpacesRequest(
        checkpoint,
        options["data"],
        take(Loading, options),
        take(Spanning, options),
        take(Populations, options),
        take(Place, options),
        take(TrainingOptions, options),
        options["output"],
    )
    with resumable("give the same command with --resume to go on; what was judged is kept"):
        outcome = search(request, console)
    console.result({**outcome.result.to_json(), "folder": str(outcome.folder), "report": str(outcome.report)})
    show(outcome, console)


def show(outcome: SpacesOutcome, console: Console) -> None:
    """Print a table of the regimes for people."""
    heads = ("MACs", "recipes", "mean error", "lowest", "refined", "mean error", "lowest", "in the band, held out")
    rows = []
    for regime in outcome.result.regimes:
        cells = [f"{regime.share:g}"]
        for population in (regime.initial, regime.refined):
            errors = None if population is None else population.errors
            cells.append("0" if errors is None else str(len(errors)))
            cells += ["none"] * 2 if errors is None else [percent(float(errors.mean())), percent(float(errors.min()))]
        held = next(one for one in regime.readings if one["reading"] == outcome.result.settings["reading"])["held_out"]
        cells.append("none lies in it" if held is None else f"{100 * held['mean']:+.2f} points")
        rows.append(tuple(cells))
    console.table(heads, rows, title=f"Errors after a short training (whole network: {_dense(outcome)})")
    for regime in outcome.result.regimes:
        if regime.why:
            console.line(f"regime {regime.share:g} was not refined: {regime.why}")
    for share, plans in outcome.plans.items():
        best = plans.get("refined", plans["initial"])
        console.line(f"regime {share:g}: compress prune {outcome.checkpoint} --plan {best}")
    console.line(f"wrote {outcome.folder / 'spaces.json'}")
    console.line(f"wrote {outcome.report}")


def _dense(outcome: SpacesOutcome) -> str:
    return percent(outcome.result.dense_error)
