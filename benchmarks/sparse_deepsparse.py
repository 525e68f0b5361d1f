"""DeepSparse beside the sparse operators: the same zeros, one thread, batch 1, in an environment of its own.

    python3.11 -m venv deepsparse && deepsparse/bin/pip install 'deepsparse==1.8.0' 'numpy<2'
    python benchmarks/sparse_deepsparse.py --python deepsparse/bin/python

Its licence allows evaluation only, and it is at the end of its life (1.9.0 refuses to be installed): a yardstick, not a
dependency. Each figure is the median of CPU time over rounds in which ONNX Runtime's dense and sparse files and
DeepSparse, in a process of its own, take turns.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.sparse_arms.files import NETWORKS, Files
from benchmarks.sparse_arms.timing import session

OTHER = """
import sys, time, numpy, deepsparse
engine = deepsparse.Engine(sys.argv[1], batch_size=1, num_cores=1)
x = [numpy.random.default_rng(1).standard_normal((1, 3, 224, 224)).astype(numpy.float32)]
for line in sys.stdin:
    engine.run(x, val_inp=False)
    begun = time.process_time()
    engine.run(x, val_inp=False)
    print((time.process_time() - begun) * 1e3, flush=True)
"""


class Other:
    """DeepSparse with one file loaded; each call runs it once warm and once timed."""

    def __init__(self, python: Path, file: Path) -> None:
        quiet = os.environ | {"NM_DISABLE_ANALYTICS": "1"}
        self._process = subprocess.Popen(
            [str(python), "-c", OTHER, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=quiet
        )

    def run(self) -> float:
        """Return milliseconds of CPU time."""
        ask, answer = self._process.stdin, self._process.stdout
        assert ask is not None
        assert answer is not None
        ask.write("run\n")
        ask.flush()
        while True:  # it greets with lines of its own
            line = answer.readline()
            if not line:
                raise SystemExit("DeepSparse ended; see its message above")
            try:
                return float(line)
            except ValueError:
                continue

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def main() -> None:
    """Print a line of the table for each network and share of zeros."""
    options = _options()
    print("| network | zeros | dense, ONNX Runtime | sparse operators | DeepSparse |\n|---|---|---|---|---|")
    for network in options.networks:
        files = Files(network, options.files)
        for sparsity in options.sparsities:
            row = _measured(files, sparsity, options)
            dense = row["dense"]
            cells = " | ".join(f"{row[name]:.2f} ms, {dense / row[name]:.2f} x" for name in ("sparse", "deepsparse"))
            print(f"| {network} | {sparsity:.0%} | {dense:.2f} ms | {cells} |", flush=True)
            with options.results.open("a") as stream:
                stream.write(json.dumps({"network": network, "sparsity": sparsity, **row}) + "\n")


def _measured(files: Files, sparsity: float, options: argparse.Namespace) -> dict[str, Any]:
    import numpy as np

    found = {
        "dense": session(files.dense(), 1),
        "sparse": session(files.sparse("unstructured", sparsity, batch=1)[0], 1),
    }
    x = np.random.default_rng(1).standard_normal((1, 3, 224, 224)).astype(np.float32)
    other = Other(options.python, files.old("unstructured", sparsity))
    times: dict[str, list[float]] = {name: [] for name in (*found, "deepsparse")}
    for _ in range(options.rounds):
        for name, one in found.items():
            feed = {one.get_inputs()[0].name: x}
            one.run(None, feed)
            begun = time.process_time()
            one.run(None, feed)
            times[name].append((time.process_time() - begun) * 1e3)
        times["deepsparse"].append(other.run())
    other.close()
    return {name: median(values) for name, values in times.items()}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, required=True, help="of the environment that has deepsparse")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--sparsities", nargs="+", type=float, default=[0.8, 0.9])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--files", type=Path, default=Path("runs/sparse"))
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/sparse/deepsparse.jsonl"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
