"""``--target latency=0.6@onnxruntime-cpu``: what the exported files take, measured again by itself.

    python benchmarks/latency_target.py                              # all networks; goes on where it was stopped
    python benchmarks/latency_target.py --networks resnet18 --target latency=0.4@onnxruntime-cpu
    python benchmarks/latency_target.py --table benchmarks/README.md # from the results file

Random weights: latency does not depend on them. Each network is pruned by the job that ``compress prune`` runs, its
corrections included; the file exported of the network that it writes is then measured against the dense
one once more, paired, in random order, in a process of their own with inputs of another seed.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.commits import commit
from benchmarks.granularity import NETWORKS
from benchmarks.records import add, rows, write_table
from compress.cli.console import Console

RESULTS = Path("benchmarks/results/latency/target.jsonl")
MARK = "latency target"
_SEED = 1


def main() -> None:
    """Run what is asked for, or write the table."""
    options = _options()
    if options.table:
        write_table(options.table, MARK, _table(rows(options.results, _key)))
        return
    options.work.mkdir(parents=True, exist_ok=True)
    done = {_key(row) for row in rows(options.results, _key)}
    for network in options.networks:
        if (network, options.target, str(options.granularity)) not in done:
            add(options.results, _row(network, options))


def _row(network: str, options: argparse.Namespace) -> dict[str, Any]:
    import deploy
    import exporters
    from compress.latency import LatencyModel
    from compress.loading import create
    from compress.pipeline.latency_target import LatencyOptions
    from compress.pipeline.prune import Choice, PruneRequest, run

    dense = create(NETWORKS[network])
    source = options.work / f"{network}.pt2"
    dense.save(source, overwrite=True)
    granularity = int(options.granularity) if options.granularity.isdigit() else options.granularity
    model = _model(network, source, options)
    begun, spent = time.monotonic(), time.process_time()
    outcome = run(
        PruneRequest(
            source,
            Choice(target=options.target, granularity=granularity),
            latency=LatencyOptions(latency_model=model, seconds=options.seconds),
            output=options.work / f"{network}.small.pt2",
            force=True,
        ),
        Console(as_json=False),
    )
    wall, cpu = time.monotonic() - begun, time.process_time() - spent
    assert outcome.latency is not None
    files = [options.work / f"{network}.onnx", options.work / f"{network}.small.onnx"]
    for program, path in zip((dense, outcome.program), files, strict=True):
        exporters.to_onnx(program, path, overwrite=True)
    found = deploy.compare(
        *files, runtime=outcome.latency.place.runtime, threads=1, seconds=2 * options.seconds, seed=_SEED
    )
    off = found.ratio / outcome.latency.wanted - 1
    print(f"{network}: measured again {found.ratio:.4f}, {100 * off:+.1f} % from the target", flush=True)
    return {
        "network": network,
        "target": options.target,
        "granularity": str(options.granularity),
        "report": outcome.latency.to_json(),
        "model": LatencyModel.load(model).held_out.model_dump(),
        "again": {"ratio": found.ratio, "low": found.ratio_low, "high": found.ratio_high, "pairs": found.pairs},
        "off": off,
        "macs": outcome.program.count().macs / dense.count().macs,
        "seconds": {"wall": round(wall, 1), "cpu_without_children": round(cpu, 1)},
        "processor": found.environment.processor,
        "load": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit("compress", "exporters", "deploy", "benchmarks/latency_target.py"),
        "versions": {name: version(name) for name in ("onnxruntime", "torch", "torchvision", "onnx")},
    }


def _model(network: str, source: Path, options: argparse.Namespace) -> Path:
    """The network's latency model, calibrated here where there is none; ``compress prune`` would do so with more
    configurations.
    """
    from compress.pipeline.calibration import CalibrationRequest, Plan, run

    path: Path = options.work / f"{network}.latency.json"
    if not path.exists():
        plan = Plan(options.configurations, options.held_out)
        run(CalibrationRequest(source, plan, output=path), Console(as_json=False))
    return path


def _key(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["network"], row["target"], row["granularity"]


def _table(found: list[dict[str, Any]]) -> str:
    lines = [
        "| network | target | first predicted, measured | rounds | measured | measured again (99 % interval) "
        "| from the target | MACs left |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in found:
        rounds, again = row["report"]["rounds"], row["again"]
        first = rounds[0]
        cells = [
            row["network"],
            row["target"],
            f"{first['predicted']:.3f}, {first['measured']['ratio']:.3f}",
            str(len(rounds)),
            f"{row['report']['measured']['ratio']:.3f}",
            f"{again['ratio']:.3f} ({again['low']:.3f} to {again['high']:.3f})",
            f"{100 * row['off']:+.1f} %",
            f"{row['macs']:.3f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    told = ", ".join(f"{name} {number}" for name, number in found[0]["versions"].items())
    said = ", ".join(
        sorted({f"{row['date']}, granularity {row['granularity']}, code {row['commit']}" for row in found})
    )
    return "\n".join([*lines, "", f"1 thread, batch 1; {said}; {told}; {found[0]['processor']}."])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS)[:6])
    parser.add_argument("--target", default="latency=0.6@onnxruntime-cpu")
    parser.add_argument("--granularity", default="8")
    parser.add_argument("--seconds", type=float, default=10.0, help="of measuring in each round")
    parser.add_argument("--configurations", type=int, default=48, help="to calibrate with")
    parser.add_argument("--held-out", type=int, default=16, help="to judge the calibration by")
    parser.add_argument("--work", type=Path, default=Path("runs/latency_target"), help="networks and latency models")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", type=Path, metavar="FILE", help="put the table into a Markdown file and stop")
    return parser.parse_args()


if __name__ == "__main__":
    main()
