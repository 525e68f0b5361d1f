"""Refined pruning spaces against initial ones, and against uniform scaling, global l2 and Taylor at equal MACs.

    python benchmarks/spaces.py --images cifar10-jpeg.tar.xz --checkpoint resnet20-12fca82f.th --work runs/spaces

For every seed and regime a population of the whole space and one of the refined space are judged by a short training;
the winner of each (the best of equally many), uniform scaling (local l2), global l2 and Taylor get the same finetuning.
What searches and trains sees a part of the training images, held out on another; accuracy is on the test images.
Steps whose output exists are not repeated, and an interrupted one goes on: run the same line again.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.cifar10 import Runner, unpacked
from benchmarks.joint import parts

CUTS = {
    "uniform": ["--scope", "local", "--criterion", "l2"],
    "l2": ["--scope", "global", "--criterion", "l2"],
    "taylor": ["--scope", "global", "--criterion", "taylor"],
}
NAMES = {
    "initial": "best of the whole space",
    "refined": "best of the refined space",
    "uniform": "uniform scaling",
    "l2": "global l2",
    "taylor": "global Taylor",
}


def main() -> None:
    """Run all steps and write ``spaces.json`` and ``spaces.md`` into the work folder."""
    options = _options()
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    part, judged = parts(unpacked(options.images, work), work, options.train, options.held_out)
    run = Runner(work)
    data = ["--data", f"imagefolder:{part}"]
    train = [*data, "--epochs", str(options.epochs), "--lr", str(options.lr)]
    run.step("dense", "dense.pt2", ["finetune", str(options.checkpoint), "--model", options.model, *train])
    for seed in range(options.seeds):
        searched(run, seed, data, options)
        for share in options.regimes:
            finals(run, seed, share, train, options)
    rows = [row(run, method, seed, share, judged) for seed, share, method in wanted(options)]
    cpu = sum(record["cpu_seconds"] for record in run.records.values()) / 3600
    found = [json.loads((work / f"spaces{seed}" / "spaces.json").read_text()) for seed in range(options.seeds)]
    figures = {"options": {key: str(value) for key, value in vars(options).items()}, "rows": rows, "cpu_hours": cpu}
    (work / "spaces.json").write_text(json.dumps(figures, indent=1))
    (work / "spaces.md").write_text(f"{table(rows, options)}\n{shown(found)}\nCPU-hours: {cpu:.2f}\n")
    print((work / "spaces.md").read_text())


def searched(run: Runner, seed: int, data: list[str], options: argparse.Namespace) -> None:
    """Judge the populations of all regimes."""
    folder = f"spaces{seed}"
    asked = [part for share in options.regimes for part in ("--regime", str(share))]
    asked += ["--recipes", str(options.recipes), "--refined", str(options.refined), "--steps", str(options.steps)]
    resumed = ["--resume"] if (run.folder / folder / "study.db").exists() else []
    command = ["search", "dense.pt2", "--method", "spaces", *asked, *data, "--seed", str(seed), *resumed]
    run.step(f"search-{seed}", f"{folder}/spaces.json", command, target=folder)


def finals(run: Runner, seed: int, share: float, train: list[str], options: argparse.Namespace) -> None:
    """Cut by every method to the same MACs and finetune alike."""
    plans = {
        "initial": f"spaces{seed}/plans/{share:g}-initial-{options.refined}.plan.json",
        "refined": f"spaces{seed}/plans/{share:g}-refined.plan.json",
    }
    for method in NAMES:
        name = f"{method}-{share:g}-{seed}"
        how = ["--plan", plans[method]] if method in plans else ["--target", f"macs={share}", *CUTS[method]]
        exact = [] if method in plans else ["--granularity", "1"]
        run.step(name, f"{name}.pt2", ["prune", "dense.pt2", *how, *exact, *train, "--seed", str(seed)])


def wanted(options: argparse.Namespace) -> list[tuple[int, float, str]]:
    """All final models."""
    return [(seed, share, method) for seed in range(options.seeds) for share in options.regimes for method in NAMES]


def row(run: Runner, method: str, seed: int, share: float, judged: Path) -> dict[str, Any]:
    """A final model's accuracy on the test images."""
    name = f"{method}-{share:g}-{seed}"
    run.step(f"evaluate-{name}", None, ["evaluate", f"{name}.pt2", "--data", f"imagefolder:{judged}"])
    result = run.records[f"evaluate-{name}"]["result"]
    accuracy = result.get("top1") or result["metrics"]["top1"]
    return {"method": method, "seed": seed, "share": share, "accuracy": accuracy}


def table(rows: list[dict[str, Any]], options: argparse.Namespace) -> str:
    """Accuracies as Markdown: a row for each method, a column for each regime, all seeds."""
    lines = [f"| | {' | '.join(f'{share:.0%} of the MACs'.replace('%', ' %') for share in options.regimes)} |"]
    lines.append("|---" * (len(options.regimes) + 1) + "|")
    for method, words in NAMES.items():
        cells = []
        for share in options.regimes:
            found = [100 * one["accuracy"] for one in rows if (one["method"], one["share"]) == (method, share)]
            cells.append(f"{mean(found):.2f} ({', '.join(f'{each:.2f}' for each in found)})")
        lines.append(f"| {words} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def shown(found: list[dict[str, Any]]) -> str:
    """What refining brought by the short training, and what the band was worth on the held-out half, as Markdown."""
    lines = ["| seed | regime | held-out half, error in the band | refined, mean error | best of equally many |"]
    lines.append("|---|---|---|---|---|")
    for seed, result in enumerate(found):
        for regime in result["regimes"]:
            reading = next(one for one in regime["readings"] if one["reading"] == "network")
            held, brought = reading["held_out"], regime["refinement"]
            cells = [_points(held), _points(brought["difference"] if brought else None)]
            cells.append(
                "" if not brought else " against ".join(f"{100 * one:.2f}" for one in reversed(brought["best"]))
            )
            lines.append(f"| {seed} | {regime['share']:g} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _points(found: dict[str, float] | None) -> str:
    if found is None:
        return "none"
    return f"{100 * found['mean']:+.2f} ({100 * found['low']:+.2f} to {100 * found['high']:+.2f})"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder with train/ and test/, or a tar of it")
    parser.add_argument("--checkpoint", type=lambda text: Path(text).resolve(), required=True)
    parser.add_argument("--model", default="models:resnet20")
    parser.add_argument("--work", type=Path, default=Path("runs/spaces"))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--regimes", type=float, nargs="+", default=[0.75, 0.5, 0.25])
    parser.add_argument("--recipes", type=int, default=32)
    parser.add_argument("--refined", type=int, default=16)
    parser.add_argument("--steps", type=int, default=80, help="batches of 128 that every recipe is trained")
    parser.add_argument("--train", type=int, default=1500, help="training images of each class")
    parser.add_argument("--held-out", type=int, default=200, help="of each class, to judge recipes and epochs by")
    parser.add_argument("--epochs", type=int, default=4, help="of the dense network and of every final model")
    parser.add_argument("--lr", type=float, default=0.02)
    return parser.parse_args()


if __name__ == "__main__":
    main()
