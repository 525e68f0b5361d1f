"""``--granularity auto`` against fixed 8 and 1: the same MACs, the same channels' ranking, measured in pairs.

    python benchmarks/granularity.py                              # all networks; goes on where it was stopped
    python benchmarks/granularity.py --networks resnet18 --target macs=0.3 --runtime openvino
    python benchmarks/granularity.py --table benchmarks/README.md # from the results file

Random weights: what is compared is time, and it does not depend on them but through the order of the channels, which is
the same for all arms. Each arm is pruned by ``compress.prune``, exported by ``exporters.to_onnx`` and measured against
the arm of granularity 8 by ``deploy.compare``: paired, in random order, in a process of their own.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.commits import commit
from benchmarks.records import add, rows, write_table
from compress.cli.console import Console

NETWORKS = {
    "resnet18": "torchvision:resnet18",
    "mobilenet_v2": "torchvision:mobilenet_v2",
    "efficientnet_b0": "torchvision:efficientnet_b0",
    "regnet_y_400mf": "torchvision:regnet_y_400mf",
    "mnasnet1_0": "torchvision:mnasnet1_0",
    "shufflenet_v2_x1_0": "torchvision:shufflenet_v2_x1_0",
    "resnet50": "torchvision:resnet50",
    "mobilenet_v3_large": "torchvision:mobilenet_v3_large",
    "densenet121": "torchvision:densenet121",
    "mobilenetv1": "models:mobilenetv1",
}
RESULTS = Path("benchmarks/results/latency/granularity.jsonl")
MARK = "granularity"
_FIXED = (8, 1)


def main() -> None:
    """Run what is asked for, or write the table."""
    options = _options()
    if options.table:
        write_table(options.table, MARK, _table(rows(options.results, _key)))
        return
    done = {_key(row) for row in rows(options.results, _key)}
    for network in options.networks:
        if (network, options.target, options.runtime, options.threads) not in done:
            add(options.results, _row(network, options))


def _row(network: str, options: argparse.Namespace) -> dict[str, Any]:
    import compress
    import deploy
    import exporters
    from compress.loading import create
    from compress.pipeline.place import Place
    from compress.pipeline.staircase import staircase

    stairs = staircase(Place(options.runtime, options.threads), options.staircase, Console(as_json=False))
    dense = create(NETWORKS[network])
    arms: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for name, granularity in {**{str(step): step for step in _FIXED}, "auto": stairs}.items():
            begun = time.process_time()
            result = compress.prune(dense, options.target, granularity=granularity)
            seconds = time.process_time() - begun
            files[name] = Path(folder) / f"{network}.{name}.onnx"
            exporters.to_onnx(result.program, files[name])
            count = result.program.count()
            steps = [one.step for one in result.report.steps.values()]
            arms[name] = {
                "achieved": result.report.achieved,
                "note": result.report.note,
                "macs": count.macs,
                "params": count.params,
                "steps": {step: steps.count(step) for step in sorted(set(steps))},
                "cpu_seconds": round(seconds, 2),
            }
        for name in ("auto", "1"):
            found = deploy.compare(
                files["8"], files[name], runtime=options.runtime, threads=options.threads, seconds=options.seconds
            )
            arms[name] |= {
                "ratio": found.ratio,
                "low": found.ratio_low,
                "high": found.ratio_high,
                "pairs": found.pairs,
                "ms": found.new_p50,
                "ms_of_8": found.base_p50,
            }
            print(f"{network}: {name} over 8: {found.ratio:.3f} ({found.ratio_low} to {found.ratio_high})", flush=True)
    return {
        "network": network,
        "target": options.target,
        "runtime": options.runtime,
        "threads": options.threads,
        "staircase": str(stairs),
        "arms": arms,
        "processor": found.environment.processor,
        "load": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit("compress", "exporters", "deploy", "benchmarks/granularity.py"),
        "versions": {name: version(name) for name in ("onnxruntime", "torch", "torchvision", "onnx")},
    }


def _key(row: dict[str, Any]) -> tuple[str, str, str, int]:
    return row["network"], row["target"], row["runtime"], row["threads"]


def _table(found: list[dict[str, Any]]) -> str:
    lines = [
        "| network | MACs left: 8, auto | auto over 8 (99 % interval) | auto is | 1 over 8 | groups by step |",
        "|---|---|---|---|---|---|",
    ]
    for row in found:
        arms = row["arms"]
        auto = arms["auto"]
        steps = ", ".join(f"{count} in {step}" for step, count in auto["steps"].items())
        cells = [
            row["network"],
            f"{_share(arms['8'])}, {_share(auto)}",
            _ratio(auto),
            _said(auto),
            _ratio(arms["1"]),
            steps,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    first = found[0]
    told = ", ".join(f"{name} {number}" for name, number in first["versions"].items())
    conditions = sorted({(row["runtime"], row["threads"], row["target"], row["date"], row["commit"]) for row in found})
    said = "; ".join(f"{one[0]}, {one[1]} thread, {one[2]}, {one[3]}, code {one[4]}" for one in conditions)
    return "\n".join([*lines, "", f"{said}; {told}; {first['processor']}; staircase: {first['staircase']}."])


def _share(arm: dict[str, Any]) -> str:
    return str(arm["achieved"]).partition("=")[2]


def _said(arm: dict[str, Any]) -> str:
    """How much faster or slower, where the interval tells."""
    change = (1 / arm["ratio"] - 1) * 100
    words = f"{abs(change):.1f} % {'faster' if change >= 0 else 'slower'}"
    return f"{words}, not told apart" if arm["low"] <= 1 <= arm["high"] else words


def _ratio(arm: dict[str, Any]) -> str:
    return f"{arm['ratio']:.3f} ({arm['low']:.3f} to {arm['high']:.3f})"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--target", default="macs=0.5")
    parser.add_argument("--runtime", default="onnxruntime-cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=15.0, help="of measuring for each pair of files")
    parser.add_argument("--staircase", type=Path, help="where it is kept [the user's cache folder]")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", type=Path, metavar="FILE", help="put the table into a Markdown file and stop")
    return parser.parse_args()


if __name__ == "__main__":
    main()
