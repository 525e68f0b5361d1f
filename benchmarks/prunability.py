"""The prunability ladder: all of torchvision, one of every timm module, a process each, no per-model code.

    python benchmarks/prunability.py                                   # this engine, all rungs, hours
    python benchmarks/prunability.py --rungs engine                    # up to the backward pass, much quicker
    python benchmarks/prunability.py --column torch-pruning            # the peer; -heads: with its heads handed over
    python benchmarks/prunability.py --only 'timm:vit*' --limit 300 --redo failed
    python benchmarks/prunability.py --table benchmarks/README.md      # all columns, from the results files

Rungs: captured; pruned to half the MACs within 1 %; permutation and removal proofs in float64; forward and backward;
saved and loaded in a fresh process; ONNX equal in ONNX Runtime; compiled by TensorRT for RTX. One file of results for
each column in the folder ``--results``; networks that are in it already are not run again. The peer's column needs
``pip install torch-pruning`` and states its protocol in ``benchmarks/ladder/torch_pruning_column.py``.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import fnmatch
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.ladder import rows
from benchmarks.ladder.columns import COLUMNS

DEFAULT = Path("benchmarks/results/prunability")


def main() -> None:
    """Run a column of the ladder, or write the table."""
    options = _options()
    if options.table:
        from benchmarks.ladder.table import write_into

        write_into(options.table, options.results)
        return
    _run(options)


def _run(options: argparse.Namespace) -> None:
    from benchmarks.ladder.processes import run_limited, server
    from benchmarks.ladder.references import references

    path = options.results / f"{options.column}.jsonl"
    rungs = COLUMNS[options.column]().rungs
    rungs = rungs[:4] if options.rungs == "engine" else rungs
    before = rows.read(path)
    wanted = [ref for ref in references() if _is_wanted(ref, before.get(ref), options, rungs)]
    context = server()
    for number, ref in enumerate(wanted, 1):
        row = run_limited(context, options.column, ref, rungs, seconds=options.limit, megabytes=options.memory)
        rows.append(path, row)
        failed = "; ".join(f"{rung}: {reason}" for rung, reason in row["failed"].items()) or "all passed"
        print(f"{number}/{len(wanted)} {ref:<48} {row['wall_seconds']:>6} s  {failed}", flush=True)
    rows.compact(path)
    print(_summary(list(rows.read(path).values()), rungs))


def _is_wanted(ref: str, row: rows.Row | None, options: argparse.Namespace, rungs: tuple[str, ...]) -> bool:
    if not any(fnmatch.fnmatch(ref, pattern) for pattern in options.only):
        return False
    if row is None or not rows.is_complete(row, rungs):
        return True
    return any((redo == "failed" and row["failed"]) or fnmatch.fnmatch(ref, redo) for redo in options.redo)


def _summary(found: list[rows.Row], rungs: tuple[str, ...]) -> str:
    counts = {rung: sum(rung in row["rungs"] for row in found) for rung in rungs}
    return f"{len(found)} networks, " + ", ".join(f"{rung} {count}" for rung, count in counts.items())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=DEFAULT, metavar="FOLDER", help="default: %(default)s")
    parser.add_argument("--column", choices=COLUMNS, default="compress")
    parser.add_argument("--rungs", choices=("engine", "all"), default="all", help="engine: the first four rungs only")
    parser.add_argument("--only", nargs="+", default=["*"], metavar="PATTERN", help="references to run")
    parser.add_argument("--redo", nargs="+", default=[], metavar="PATTERN", help="run again these, or 'failed' ones")
    parser.add_argument("--limit", type=float, default=600, metavar="SECONDS", help="CPU time for each network")
    parser.add_argument("--memory", type=int, default=12000, metavar="MB", help="for each network")
    parser.add_argument("--table", type=Path, metavar="FILE", help="put the table into a Markdown file and stop")
    return parser.parse_args()


if __name__ == "__main__":
    main()
