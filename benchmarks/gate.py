"""How often the gate is wrong, how often it is right, and how long it takes; beside the rules that others use.

    python benchmarks/gate.py                                     # everything; goes on where it was stopped
    python benchmarks/gate.py --arms idle --trials 5 --same 10 --results runs/tried  # a first look
    python benchmarks/gate.py --table benchmarks/README.md        # from the records

A residual network of 92 M multiply-accumulates (about 1 ms), its copies with a few more small convolutions
that are truly 3, 5 and 10 % slower (measured beforehand in long paired runs, in each arm, and recorded), and itself
(A/A). Each trial is a process of its own: the gate at a tolerance of 2 % with at most 5 s, 30 + 30 runs in two blocks,
and rounds for half a second a side as pytest-benchmark takes them. ``loaded`` keeps as many processes busy as there are
cores; ``idle`` is to be run with nothing else on the machine (each record tells how busy it was just before).

200 A/A trials and 100 of each slow-down in each arm take about 3.5 s a trial, a little over an hour in all. Arms take
turns of 25 trials in an order drawn once, so that the machine's moods hit all kinds alike.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.commits import commit
from benchmarks.gate_trials import trial
from benchmarks.gate_trials.load import loaded
from benchmarks.gate_trials.network import write
from benchmarks.gate_trials.table import write_into
from benchmarks.gate_trials.truth import KINDS, choose, ratios

CODE = ("deploy", "benchmarks/gate_trials", "benchmarks/gate.py")
ARMS = ("idle", "loaded")
TURN = 25


def main() -> None:
    """Run what is missing, or write the table."""
    options = _options()
    records, truths = options.results / "trials.jsonl", options.results / "truth.jsonl"
    if options.table:
        write_into(options.table, _rows(records), _rows(truths))
        return
    options.results.mkdir(parents=True, exist_ok=True)
    paths = _networks(options, truths)
    done = {(row["arm"], row["kind"], row["number"]) for row in _rows(records)}
    left = [due for due in _plan(options) if due not in done]
    facts = {"tolerance": options.tolerance, "budget": options.budget, "cpu": _cpu(), "commit": commit(*CODE)}
    begun, ran = time.monotonic(), 0
    for arm, due in _turns(left):
        with loaded(os.cpu_count() or 1) if arm == "loaded" else nullcontext():
            for kind, number in due:
                result = _trial(options, paths["same"], paths[kind], seed=_seed(arm, kind, number))
                _append(records, {"arm": arm, "kind": kind, "number": number, **facts, **result})
        ran += len(due)
        pace = (time.monotonic() - begun) / ran
        minutes = pace * (len(left) - ran) / 60
        print(f"{arm}: {ran} of {len(left)} trials, {pace:.1f} s each, {minutes:.0f} min left", flush=True)


def _networks(options: argparse.Namespace, truths: Path) -> dict[str, Path]:
    """The files, with their true ratios in every arm measured and recorded once."""
    known = {row["arm"]: row for row in _rows(truths)}
    layers = next(iter(known.values()))["layers"] if known else choose(options.files, options.rounds)
    paths = {kind: options.files / f"{kind}.onnx" for kind in ("same", *KINDS)}
    for kind, path in paths.items():
        write(path, layers.get(kind, 0))
    for arm in options.arms:
        if arm not in known:
            with loaded(os.cpu_count() or 1) if arm == "loaded" else nullcontext():
                found = ratios(paths, "same", options.rounds)
            _append(truths, {"arm": arm, "layers": layers, "rounds": options.rounds, "ratios": found, "cpu": _cpu()})
            for kind, figures in found.items():
                print(f"{arm}: {kind} {figures['ms']:.3f} ms, {figures['ratio'] - 1:+.2%} ± {2 * figures['error']:.2%}")
    return paths


def _plan(options: argparse.Namespace) -> list[tuple[str, str, int]]:
    wanted = {"same": options.same, **dict.fromkeys(KINDS, options.trials)}
    due = [(arm, kind, number) for arm in options.arms for kind, many in wanted.items() for number in range(many)]
    random.Random(0).shuffle(due)
    return due


def _turns(due: list[tuple[str, str, int]]) -> list[tuple[str, list[tuple[str, int]]]]:
    """Group trials in their order into turns of one arm each, arms alternating: load takes time to start."""
    by_arm = {arm: [(kind, number) for found, kind, number in due if found == arm] for arm in ARMS}
    turns = []
    for start in range(0, max(map(len, by_arm.values())), TURN):
        turns += [(arm, found[start : start + TURN]) for arm, found in by_arm.items() if found[start : start + TURN]]
    return turns


def _trial(options: argparse.Namespace, base: Path, new: Path, *, seed: int) -> dict[str, Any]:
    """Run one trial in a process of its own, forked from one that has only imported what is needed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.gate_trials.trial", "psutil", "deploy.gating", "onnxruntime", "onnx"])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(
            trial.run, base, new, tolerance=options.tolerance, budget=options.budget, side=options.side, seed=seed
        ).result()


def _seed(arm: str, kind: str, number: int) -> int:
    return random.Random(f"{arm} {kind} {number}").randrange(2**31)


def _append(path: Path, row: dict[str, Any]) -> None:
    """Add a line; what a killed run left half written is cut off first."""
    whole = path.read_bytes() if path.exists() else b""
    kept = whole[: whole.rfind(b"\n") + 1]
    with path.open("r+b" if path.exists() else "wb") as stream:
        stream.truncate(len(kept))
        stream.seek(len(kept))
        stream.write(json.dumps(row).encode() + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def _rows(path: Path) -> list[dict[str, Any]]:
    whole = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in whole[: whole.rfind("\n") + 1].splitlines()]


def _cpu() -> str:
    from deploy import environment

    return f"{environment.processor()}, {os.cpu_count()} cores"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--same", type=int, default=200, help="A/A trials in each arm")
    parser.add_argument("--trials", type=int, default=100, help="trials of each slow-down in each arm")
    parser.add_argument("--tolerance", type=float, default=0.02)
    parser.add_argument("--budget", type=float, default=5.0, help="seconds that the gate may take")
    parser.add_argument("--side", type=float, default=0.5, help="seconds of rounds a side, as pytest-benchmark")
    parser.add_argument("--rounds", type=int, default=3600, help="paired rounds behind each true ratio")
    parser.add_argument("--files", type=Path, default=Path("runs/gate"), help="folder for the networks' files")
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/gate"))
    parser.add_argument("--table", type=Path, metavar="FILE", help="put the tables into a Markdown file and stop")
    return parser.parse_args()


if __name__ == "__main__":
    main()
