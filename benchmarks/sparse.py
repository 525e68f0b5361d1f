"""Sparse weights against dense, in ONNX Runtime: speed and size by network, pattern and sparsity.

    python benchmarks/sparse.py                                    # everything; hours; goes on where it was stopped
    python benchmarks/sparse.py --networks mobilenetv1 --sparsities 0.8 0.9 --patterns unstructured 4x1
    python benchmarks/sparse.py --layers mobilenetv1 --patterns 4x1 --sparsities 0.9   # each layer against the machine
    python benchmarks/sparse.py --table benchmarks/README.md       # from the results file

Networks at 224 x 224 with random weights and calibrated batch norm; zeros by magnitude, the same share in every layer
that is masked by default. Against ONNX Runtime with all optimisations: dense fp32, the same with zeros in dense
operators, and its own static int8 quantisation. One thread: CPU time; more: the wall's. Ratios within each round.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.commits import commit
from benchmarks.sparse_arms.files import NETWORKS, Files
from benchmarks.sparse_arms.table import PATTERNS, write_into
from benchmarks.sparse_arms.timing import clock_of, paired, session, speedup

SPARSITIES = (0.5, 0.7, 0.8, 0.9, 0.95)
CODE = ("compress", "exporters", "benchmarks/sparse_arms", "benchmarks/sparse.py")
RESULTS = Path("benchmarks/results/sparse/latency.jsonl")


def main() -> None:
    """Run what is asked for, or write the table."""
    options = _options()
    if options.table:
        write_into(options.table, _rows(options.results))
        return
    if options.layers:
        from benchmarks.sparse_arms.limits import print_layers

        print_layers(Files(options.layers, options.files), options.patterns[0], options.sparsities[0])
        return
    done = {_key(row) for row in _rows(options.results)}
    for network in options.networks:
        files = Files(network, options.files)
        for batch in options.batch:
            for threads in options.threads:
                if (network, threads, batch) not in done:
                    row = _run(options, files, threads, batch)
                    options.results.parent.mkdir(parents=True, exist_ok=True)
                    with options.results.open("a") as stream:
                        stream.write(json.dumps(row) + "\n")


def _run(options: argparse.Namespace, files: Files, threads: int, batch: int) -> dict[str, Any]:
    network = files.network
    paths = {"dense": files.dense(), "int8": files.int8(), "zeros": files.zeros("unstructured", 0.9)}
    chosen: dict[str, int] = {}
    for pattern in options.patterns:
        for sparsity in options.sparsities:
            print(f"{network}, {threads} threads, batch {batch}: preparing {pattern} {sparsity:g}", flush=True)
            path, report = files.sparse(pattern, sparsity, batch=batch)
            paths[f"{pattern} {sparsity:g}"] = path
            chosen[f"{pattern} {sparsity:g}"] = sum(layer["chosen"] for layer in report["layers"])
    sessions = {key: session(path, threads) for key, path in paths.items()}
    times = paired(sessions, batch, options.rounds, clock_of(threads))
    arms = {}
    for key, path in paths.items():
        median, low, high = speedup(times["dense"], times[key])
        arms[key] = {
            "ms": sorted(times[key])[len(times[key]) // 2],
            "speedup": median,
            "interval": [low, high],
            "bytes": path.stat().st_size,
            "layers": chosen.get(key),
        }
        print(f"  {key:<18} {arms[key]['ms']:>8.2f} ms  {median:.2f} x [{low:.2f}, {high:.2f}]", flush=True)
    packages = {name: version(name) for name in ("onnxruntime", "torch", "onnx")}
    row = {"network": network, "threads": threads, "batch": batch, "rounds": options.rounds, "arms": arms}
    return row | {
        "cpu": _cpu(),
        "commit": commit(*CODE),
        "versions": packages,
    }


def _key(row: dict[str, Any]) -> tuple[str, int, int]:
    return row["network"], row["threads"], row["batch"]


def _rows(path: Path) -> list[dict[str, Any]]:
    """Of every network, threads and batch, the row that was written last."""
    lines = path.read_text().splitlines() if path.exists() else []
    return list({_key(row): row for row in map(json.loads, lines)}.values())


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    fields = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    return " ".join(
        fields.get(f"{name}\t\t", fields.get(f"{name}\t", "?")).strip()
        for name in ("model name", "cpu family", "model")
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--patterns", nargs="+", choices=PATTERNS, default=list(PATTERNS))
    parser.add_argument("--sparsities", nargs="+", type=float, default=list(SPARSITIES))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--files", type=Path, default=Path("runs/sparse"), help="folder for the networks' files")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--layers", choices=NETWORKS, help="print each layer's time against the machine's limit")
    parser.add_argument("--table", type=Path, metavar="FILE", help="put the tables into a Markdown file and stop")
    return parser.parse_args()


if __name__ == "__main__":
    main()
