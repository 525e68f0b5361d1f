"""``compress gate``: may the new file replace the old one? The answer is the exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from compress.cli.console import Console
from compress.cli.options import (
    DATA_HELP,
    force_option,
    json_option,
    measuring_options,
    parse_share,
    parse_tolerance,
    timeout_option,
)

LIMITED = ("latency", "p90", "p95", "p99", "memory", "size", "macs", "accuracy")
WRITTEN = (".json", ".md")

EXAMPLES = """\b
Examples:
  compress gate base.onnx new.onnx --max-regression 5%
  compress gate base.onnx new.onnx --limit p95=10% --limit memory=5% --limit size=0%
  compress gate base.onnx new.onnx --limit accuracy=0.5% --data imagefolder:photos
  compress gate base.onnx new.onnx --policy gate.yaml --junit gate.xml -o verdict.md
  compress gate base.onnx new.onnx --threads 4 --budget 120 --json
\b
A policy is a file such as (every key may be left out; options override it):
  latency: 5%          # also p90, p95, p99
  memory: 5%           # also size, macs
  accuracy: 0.5%       # percentage points of top-1 that may be lost, on data
  data: imagefolder:photos
  threads: 1           # also runtime, batch, sizes, seed
  budget: 60           # seconds; also alpha, timeout
\b
Exit codes: 0 nothing is worse than allowed; 1 something is; 3 undecided, not measurable, or asked for less than this
machine can resolve.
"""


def _limits(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    limits: dict[str, str] = {}
    for value in values:
        name, _, share = value.partition("=")
        if name not in LIMITED or not share:
            raise click.BadParameter(f"{value!r}: write METRIC=SHARE; the metrics are {', '.join(LIMITED)}")
        parse_share(_context, _parameter, share)
        if name in limits:
            raise click.BadParameter(f"{name} is limited twice: to {limits[name]} and to {share}")
        limits[name] = share
    return limits


def _written(_context: click.Context, _parameter: click.Parameter, values: tuple[Path, ...]) -> tuple[Path, ...]:
    for path in values:
        if path.suffix not in WRITTEN:
            raise click.BadParameter(f"{path}: a verdict is written as {' or '.join(WRITTEN)}")
    return values


@click.command(short_help="May the new file replace the old one? (exit code)", epilog=EXAMPLES)
@click.argument("baseline", type=click.Path(path_type=Path))
@click.argument("candidate", type=click.Path(path_type=Path))
@click.option(
    "--max-regression",
    "latency",
    default="5%",
    show_default=True,
    callback=parse_tolerance,
    help="How much slower than BASELINE the CANDIDATE may be: 5% or 0.05.",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="METRIC=SHARE",
    callback=_limits,
    help=f"Judge another metric, too: {', '.join(LIMITED[1:])}; by how much it may grow, accuracy by how many "
    "percentage points it may fall; repeatable.",
)
@click.option("--data", metavar="REF", help=f"For accuracy. {DATA_HELP}")
@click.option(
    "--policy", type=click.Path(path_type=Path), metavar="FILE.yaml", help="Limits and conditions; see below."
)
@click.option("--runtime", default="onnxruntime-cpu", show_default=True, help="Where to run; see compress doctor.")
@click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds after which it gives up as undecided.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(min=0, max=0.5, min_open=True, max_open=True),
    default=0.01,
    show_default=True,
    help="Bound on the chance of a wrong FAIL, and of a wrong PASS.",
)
@timeout_option(120.0)
@measuring_options
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE.xml", help="Write JUnit XML.")
@click.option("--github", is_flag=True, help="Write the job summary and annotations of a GitHub Actions step.")
@click.option(
    "-o",
    "--output",
    "outputs",
    multiple=True,
    type=click.Path(path_type=Path),
    callback=_written,
    metavar="FILE.json|.md",
    help="Write the verdict; the ending decides the form; repeatable.",
)
@force_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    baseline: Path,
    candidate: Path,
    policy: Path | None,
    limits: dict[str, str],
    as_json: bool,
    **options: Any,
) -> None:
    """Compare two ONNX files: latency by paired, randomised, interleaved runs, and whatever else is asked for."""
    from compress.pipeline.gate import GateRequest, run
    from deploy.judging import github
    from deploy.judging import policy as policies

    console = Console(as_json=as_json)
    written = {name: options.pop(name) for name in ("outputs", "junit", "github", "force")}
    given = {
        name: value
        for name, value in options.items()
        if policy is None or context.get_parameter_source(name) != ParameterSource.DEFAULT
    }
    read = policies.read(policy) if policy is not None else {}
    wanted = policies.make({**read, **given, **limits})
    verdict = run(GateRequest(baseline, candidate, wanted, **written), console, console.bar)
    console.result(verdict.model_dump(mode="json"))
    if written["github"]:
        for annotation in github.commands(verdict):
            (console.say if as_json else console.line)(annotation)
    console.line(verdict.text)
    context.exit(verdict.exit_code)
