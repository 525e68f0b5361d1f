"""The figures of ``exporters/sparse/costs.py``: what layers take dense and sparse, and what they compute and move.

    python benchmarks/sparse_costs.py                   # profiles of all networks, patterns and sparsities
    python benchmarks/sparse_costs.py --fit             # from the profiles that are there

Each network is profiled dense and with every layer sparse, one thread, as ``compress export --sparse --measure`` does.
The fit is of least squares of relative errors with no negative price; ``eight in ten`` are the tenth and the ninetieth
percentile of expected over measured.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.sparse_arms.files import NETWORKS, Files
from benchmarks.sparse_arms.table import PATTERNS

SPARSITIES = (0.5, 0.7, 0.8, 0.9)
DENSE = ("dense", "inputs", "outputs", "weights", "call")
SPARSE = ("sparse", "rows", "columns", "inputs", "outputs", "call")


def main() -> None:
    """Profile what is not profiled yet, and print the prices."""
    options = _options()
    options.profiles.parent.mkdir(parents=True, exist_ok=True)
    rows = [json.loads(line) for line in options.profiles.open()] if options.profiles.exists() else []
    done = {(row["network"], row["pattern"], row["sparsity"]) for row in rows}
    for network in () if options.fit else options.networks:
        for pattern in options.patterns:
            for sparsity in options.sparsities:
                if (network, pattern, sparsity) in done:
                    continue
                found = list(_profiled(Files(network, options.files), pattern, sparsity))
                with options.profiles.open("a") as stream:
                    stream.writelines(json.dumps(row) + "\n" for row in found)
                print(f"{network} {pattern} {sparsity:g}: {len(found)} layers", flush=True)
                rows += found
    for side, terms in (("dense", DENSE), ("sparse", SPARSE)):
        groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            groups[row["kind"] if side == "dense" else f"{row['kind']}, blocks of {row['block']}"].append(row)
        for kind, group in sorted(groups.items()):
            print(f"{side} {kind}: {_fit(group, side, terms)}")


def _profiled(files: Files, pattern: str, sparsity: float) -> Iterator[dict[str, Any]]:
    import math

    import onnx

    from exporters.sparse import library
    from exporters.sparse.costs import kind_of, work_of
    from exporters.sparse.deciding import Conditions, Survey, silent

    path = files.zeros(pattern, sparsity)
    conditions = Conditions(library.find(), 1, 1, {})
    for name, found in Survey(onnx.load(path), path.name, conditions, silent).profile().items():
        if found.layer.operator == "SparseConv":
            x, output = ([size or 1 for size in shape] for shape in (found.x, found.output))
            work = work_of(found.layer, found.packed, math.prod(x), output[0] * math.prod(output[2:]))
            row = {"network": files.network, "pattern": pattern, "sparsity": sparsity, "layer": name}
            row |= {"kind": kind_of(found.layer), "block": found.packed.block, "work": asdict(work)}
            yield row | {"dense": found.dense * 1e3, "sparse": found.sparse * 1e3}


def _fit(rows: Sequence[dict[str, Any]], side: str, terms: Sequence[str]) -> str:
    from scipy.optimize import nnls

    took = np.array([row[side] for row in rows])
    work = np.array([[1.0 if term == "call" else row["work"][term] for term in terms] for row in rows])
    prices, _ = nnls(work / took[:, None], np.ones(len(took)))
    low, middle, high = np.percentile(work @ prices / took, [10, 50, 90])
    told = {term: float(f"{price:.3g}") for term, price in zip(terms, prices, strict=True) if price}
    return f"{told}, {len(rows)} layers, eight in ten {low:.2f} to {high:.2f}, median {middle:.2f}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--patterns", nargs="+", choices=PATTERNS, default=list(PATTERNS))
    parser.add_argument("--sparsities", nargs="+", type=float, default=list(SPARSITIES))
    parser.add_argument("--files", type=Path, default=Path("runs/sparse"), help="folder for the networks' files")
    parser.add_argument("--profiles", type=Path, default=Path("runs/sparse/profiles.jsonl"))
    parser.add_argument("--fit", action="store_true", help="profile nothing")
    return parser.parse_args()


if __name__ == "__main__":
    main()
