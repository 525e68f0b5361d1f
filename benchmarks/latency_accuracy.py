"""At equal measured latency: channels allocated for latency against channels allocated for MACs.

    python benchmarks/latency_accuracy.py --latency-model runs/mobilenetv2.latency.json  # goes on where it stopped
    python benchmarks/latency_accuracy.py --table benchmarks/README.md                   # from the results file

For each seed a dense network is trained on the digits. Both arms then choose channels by the same criterion and
granularity until the *measured* latency is the same share of the dense one's: one corrects what the latency model
predicts, the other a number of MACs. Both are finetuned alike, with the dense network as their teacher.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.commits import commit
from benchmarks.records import add, rows, write_table
from compress.cli.console import Console

if TYPE_CHECKING:
    from compress import Program, PruneResult
    from compress.axes.analysis import Analysis
    from compress.data import DataSource

RESULTS = Path("benchmarks/results/latency/accuracy.jsonl")
MARK = "latency accuracy"
RUNTIME = "onnxruntime-cpu"
ARMS = ("latency", "macs")


@dataclass
class MacsOnly:
    """Predicts that a network takes what its share of the MACs is."""

    key: Any = None

    def bind(self, analysis: Analysis) -> MacsOnly._Bound:
        """For one network."""
        return MacsOnly._Bound(analysis)

    class _Bound:
        dense = 1.0

        def __init__(self, analysis: Analysis) -> None:
            self._sizes = analysis.sizes
            self.groups = tuple(group.name for group in analysis.prunable)

        def milliseconds(self, widths: Any, densities: Any = None) -> np.ndarray[Any, np.dtype[np.float64]]:
            del densities
            return self._sizes.relative("macs", widths)

        def parts(self, widths: Any, densities: Any = None) -> list[tuple[str, float]]:
            del densities
            return [(part.layer, part.share) for part in self._sizes.parts("macs", widths)]


def main() -> None:
    """Run what is missing, or write the table."""
    options = _options()
    if options.table:
        write_table(options.table, MARK, _table(rows(options.results, _key)))
        return
    for seed in options.seeds:
        for share in options.shares:
            for arm in ARMS:
                known = {_key(row) for row in rows(options.results, _key)}
                if (options.network, arm, share, seed) not in known:
                    add(options.results, _row(options, arm, share, seed))


def _row(options: argparse.Namespace, arm: str, share: float, seed: int) -> dict[str, Any]:
    import compress
    from compress.allocation import Target
    from compress.latency import LatencyModel
    from compress.pipeline.finetuning import TrainingOptions, finetune, measure
    from compress.pipeline.latency_target import Search
    from compress.pipeline.place import Place
    from compress.training import reestimate_batch_norm

    screen, training = Console(as_json=False), TrainingOptions(seed=seed)
    dense, source = _dense(options, seed)
    model: Any = LatencyModel.load(options.latency_model) if arm == "latency" else MacsOnly()
    model = model if arm == "latency" else MacsOnly(SimpleNamespace(runtime=RUNTIME))

    def choose(target: Target) -> PruneResult:
        return compress.prune(dense, target, granularity=options.granularity, latency_model=model, seed=seed)

    target = Target("latency", share, RUNTIME)
    result, report = Search(dense, target, Place(RUNTIME), model, choose, screen, options.seconds).settled()
    reestimate_batch_norm(result.program, source, seed=seed)
    before = measure(result.program, source, training, "before finetuning", screen)
    name = f"{arm}.{share:g}.{seed}"
    _, after, _ = finetune(
        result.program,
        source,
        training,
        epochs=options.epochs,
        teacher=dense,
        folder=options.work / f"{name}.run",
        restart=True,
        reporter=screen,
    )
    return {
        "network": options.network,
        "arm": arm,
        "share": share,
        "seed": seed,
        "report": report.to_json(),
        "macs": result.program.count().macs / dense.count().macs,
        "dense": measure(dense, source, training, "dense", screen),
        "before": before,
        "after": after,
        "epochs": [options.dense_epochs, options.epochs],
        "granularity": options.granularity,
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit("compress", "exporters", "deploy", "benchmarks/latency_accuracy.py"),
        "versions": {package: version(package) for package in ("onnxruntime", "torch")},
    }


def _dense(options: argparse.Namespace, seed: int) -> tuple[Program, DataSource]:
    """The network that a seed's arms share, trained once."""
    import torch

    import compress
    from compress.loading import create
    from compress.pipeline.finetuning import TrainingOptions, finetune, load_data

    options.work.mkdir(parents=True, exist_ok=True)
    screen, training = Console(as_json=False), TrainingOptions(seed=seed)
    path = options.work / f"dense.{seed}.pt2"
    if path.exists():
        program = compress.load(path)
        return program, load_data("digits", program, training, screen)
    torch.manual_seed(seed)
    program = create(options.network, input_size=(1, 8, 8))
    source = load_data("digits", program, training, screen)
    program, _, _ = finetune(
        program,
        source,
        training,
        epochs=options.dense_epochs,
        teacher=None,
        folder=options.work / f"dense.{seed}.run",
        restart=True,
        reporter=screen,
    )
    program.save(path)
    return program, source


def _key(row: dict[str, Any]) -> tuple[str, str, float, int]:
    return row["network"], row["arm"], row["share"], row["seed"]


def _table(found: list[dict[str, Any]]) -> str:
    lines = [
        "| network | latency wanted | guided by | latency measured, by seed | MACs left | top-1 dense "
        "| before finetuning | after |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for network, share in dict.fromkeys((row["network"], row["share"]) for row in found):
        for arm in ARMS:
            mine = [row for row in found if (row["network"], row["share"], row["arm"]) == (network, share, arm)]
            latency = ", ".join(f"{row['report']['measured']['ratio']:.3f}" for row in mine)
            macs = ", ".join(f"{row['macs']:.3f}" for row in mine)
            tops = [_tops(mine, stage) for stage in ("dense", "before", "after")]
            lines.append("| " + " | ".join([network, f"{share:g}", arm, latency, macs, *tops]) + " |")
    first = found[0]
    told = ", ".join(f"{name} {number}" for name, number in first["versions"].items())
    dense, small = first["epochs"]
    return "\n".join(
        [
            *lines,
            "",
            f"Digits, {dense} epochs dense and {small} after cutting, granularity {first['granularity']}, {RUNTIME}, "
            f"1 thread; mean (lowest to highest) over seeds; {first['date']}, code {first['commit']}, {told}.",
        ]
    )


def _tops(found: list[dict[str, Any]], stage: str) -> str:
    tops = [100 * row[stage]["top1"] for row in found]
    return f"{np.mean(tops):.2f} % ({min(tops):.2f} to {max(tops):.2f})"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="models:cifar_mobilenetv2?in_channels=1")
    parser.add_argument("--latency-model", type=Path, help="of compress calibrate, for the network")
    parser.add_argument("--shares", nargs="+", type=float, default=[0.7])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--dense-epochs", type=int, default=10)
    parser.add_argument("--granularity", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--work", type=Path, default=Path("runs/latency_accuracy"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", type=Path, metavar="FILE", help="put the table into a Markdown file and stop")
    return parser.parse_args()


if __name__ == "__main__":
    main()
