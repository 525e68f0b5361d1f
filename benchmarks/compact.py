"""A compact family against its pruned members: weights, channels, and both searched for, at the family's own MACs.

    python benchmarks/compact.py --images cifar10-jpeg.tar.xz --work runs/compact

Every member but the smallest is trained for ``--epochs`` and then pruned to the MACs of the next smaller one, in single
weights (zeros counted as removed) or in channels, and finetuned for as many epochs again. The joint search cuts the
largest member in channels and weights to all of those MACs at once. What they are compared with are the members
themselves, trained from nothing for twice the epochs: the training that the pruned ones had, their parent's counted.
No arm is distilled. What trains and searches sees a part of the training images and is held out on another; accuracy is
on a part of the test images.

CPU-hours are of a model's own steps (pruning, training), of its parent's training, and of the search, told apart.
Steps whose output exists are not repeated, and an interrupted one goes on: run the same line again; ``--table`` only
prints what a run (that may be at work still) has come to.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.cifar10 import Runner, unpacked
from benchmarks.commits import commit
from benchmarks.joint import parts

Row = dict[str, Any]
MEMBERS = ("a", "b", "c", "d")  # rising
ARMS = {
    "family": "the family itself",
    "weights": "weights pruned, uniform",
    "global": "weights pruned, global",
    "channels": "channels pruned",
    "joint": "both, searched for",
}
CUTS = {
    "weights": ["--sparsity-allocation", "uniform", "--sparsity-schedule", "cubic"],
    "global": ["--sparsity-allocation", "global", "--sparsity-schedule", "cubic"],
    "channels": ["--scope", "global", "--criterion", "l2", "--granularity", "4"],
}


def main() -> None:
    """Run all steps and write ``compact.json`` and ``compact.md`` into the work folder."""
    options = _options()
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    run = Runner(work)
    if not options.table:
        images = unpacked(options.images, work)
        part, judged = parts(images, work, options.train, options.held_out)
        few_to_judge(images, judged, options.test)
        for seed in range(options.seeds):
            trained(run, seed, part, judged, options)
    figures = summary(run, options)
    (work / "compact.json").write_text(json.dumps(figures, indent=1))
    (work / "compact.md").write_text(table(figures))
    print(table(figures))


def few_to_judge(images: Path, judged: Path, count: int) -> None:
    """Leave ``count`` test images of each class in the folder that accuracy is measured on."""
    test = judged / "test"
    if not test.is_symlink():
        return
    few = judged / "few"
    shutil.rmtree(few, ignore_errors=True)
    for folder in sorted(one for one in (images / "test").iterdir() if one.is_dir()):
        (few / folder.name).mkdir(parents=True)
        for file in sorted(folder.iterdir())[:count]:
            os.link(file, few / folder.name / file.name)
    test.unlink()
    few.rename(test)


def trained(run: Runner, seed: int, part: Path, judged: Path, options: argparse.Namespace) -> None:
    """Train members and parents, prune parents, search the largest; judge what there is after each of these."""
    data = ["--data", f"imagefolder:{part}"]
    seeded = [*data, "--seed", str(seed), "--batch-size", str(options.batch_size)]
    scratch = ["--lr", str(options.lr)]
    tuned = ["--epochs", str(options.epochs), "--lr", str(options.tuning_lr), "--distill-alpha", "0"]
    for member in MEMBERS:
        reference = f"models:fbnetv3_mini_{member}"
        name = f"family-{member}-{seed}"
        twice = ["--epochs", str(2 * options.epochs), *scratch, *seeded]
        run.step(name, f"{name}.pt2", ["finetune", reference, *twice])
        if member != MEMBERS[0]:
            name = f"parent-{member}-{seed}"
            run.step(name, f"{name}.pt2", ["finetune", reference, "--epochs", str(options.epochs), *scratch, *seeded])
    evaluated(run, seed, judged)
    for small, large in pairwise(MEMBERS):
        share = f"macs={macs(small) / macs(large):.5f}"
        for arm, how in CUTS.items():
            asked = ["--target" if arm == "channels" else "--sparsity", share]
            name = f"{arm}-{small}-{seed}"
            run.step(name, f"{name}.pt2", ["prune", f"parent-{large}-{seed}.pt2", *asked, *how, *tuned, *seeded])
            evaluated(run, seed, judged)
    searched(run, seed, [*data, "--seed", str(seed)], [*tuned, *seeded], options)
    evaluated(run, seed, judged)


def evaluated(run: Runner, seed: int, judged: Path) -> None:
    """The accuracy of every finished model of a seed on test images."""
    for row in wanted(run, seed):
        run.step(f"evaluate-{row['file']}", None, ["evaluate", row["file"], "--data", f"imagefolder:{judged}"])


def searched(run: Runner, seed: int, data: list[str], tuned: list[str], options: argparse.Namespace) -> None:
    """One search over channels and weights of the largest member, and final models at the MACs of all the others."""
    folder = f"joint-{seed}"
    asked = ["--method", "jcw", "--objective", "macs", "--decide", "both", "--trials", str(options.trials)]
    asked += ["--population", str(options.population), "--supernet-epochs", str(options.supernet_epochs)]
    asked += ["--lowest-width", "0.25", "--lowest-density", "0.1", "--eval-samples", str(options.eval_samples)]
    asked += ["--statistics", "4"]
    resumed = ["--resume"] if (run.folder / folder / "study.db").exists() else []
    command = ["search", f"parent-{MEMBERS[-1]}-{seed}.pt2", *asked, *data, *resumed]
    run.step(f"search-{seed}", f"{folder}/front.json", command, target=folder)
    for small in MEMBERS[:-1]:  # one by one, so that each has a time of its own
        pick = ["--pick", f"macs={macs(small) / macs(MEMBERS[-1]):.5f}", "--seconds", "0.2"]
        run.step(f"joint-{small}-{seed}", None, ["search", "--from", folder, *pick, *tuned])


def macs(member: str) -> int:
    """Multiply-accumulates of a member."""
    if member not in _COUNTED:
        from compress.loading import create

        _COUNTED[member] = create(f"models:fbnetv3_mini_{member}").count().macs
    return _COUNTED[member]


_COUNTED: dict[str, int] = {}


def wanted(run: Runner, seed: int) -> list[Row]:
    """The models of a seed that are finished: arm, budget (the member whose MACs it has) and file."""
    found = []
    for arm in ARMS:
        for member in MEMBERS if arm == "family" else MEMBERS[:-1]:
            name = f"{arm}-{member}-{seed}"
            if name in run.records:
                final = run.records[name]["result"]["finals"][0] if arm == "joint" else {}
                file = f"joint-{seed}/{final['network']}" if final else f"{name}.pt2"
                found.append({"arm": arm, "budget": member, "seed": seed, "step": name, "file": file, "final": final})
    return found


def summary(run: Runner, options: argparse.Namespace) -> Row:
    """Rows of all models that were evaluated, what each arm's front is worth, hours."""
    rows = [
        described(run, row)
        for seed in range(options.seeds)
        for row in wanted(run, seed)
        if f"evaluate-{row['file']}" in run.records
    ]
    return {
        "options": {key: str(value) for key, value in vars(options).items()},
        "commit": commit("compress", "models", "benchmarks"),
        "members": {member: macs(member) for member in MEMBERS},
        "rows": rows,
        "worth": {arm: worth(rows, {arm, "family"}) for arm in ARMS},
        "hours": {arm: hours(run, rows, arm) for arm in ARMS},
        "cpu_hours": sum(record["cpu_seconds"] for record in run.records.values()) / 3600,
    }


def described(run: Runner, row: Row) -> Row:
    """A model's accuracy, MACs and CPU-seconds."""
    result = run.records[f"evaluate-{row['file']}"]["result"]
    counted = row["final"] or run.records[row["step"]]["result"]
    masked = counted.get("sparsity") or {}
    after = masked.get("after") or counted.get("after") or counted
    whole = after["macs"] if "macs" in after else macs(row["budget"])
    larger = {"family": None, "joint": MEMBERS[-1]}.get(row["arm"], MEMBERS[min(3, MEMBERS.index(row["budget"]) + 1)])
    search = run.records[f"search-{row['seed']}"] if row["arm"] == "joint" else None
    return {
        "arm": row["arm"],
        "budget": row["budget"],
        "seed": row["seed"],
        "accuracy": result.get("top1") or result["metrics"]["top1"],
        "macs": whole,
        "nonzero_macs": after.get("nonzero_macs", whole),
        "own_seconds": run.records[row["step"]]["cpu_seconds"],
        "parent_seconds": run.records[f"parent-{larger}-{row['seed']}"]["cpu_seconds"] if larger else 0.0,
        "search_seconds": search["cpu_seconds"] if search else 0.0,
    }


def worth(rows: list[Row], arms: set[str]) -> list[float]:
    """Hypervolume of these arms' models together, for each seed: error, and the share of the largest member's MACs."""
    import numpy as np

    from compress.search.hypervolume import hypervolume

    found = []
    for seed in sorted({row["seed"] for row in rows}):
        mine = [row for row in rows if row["seed"] == seed and row["arm"] in arms]
        points = [[1 - row["accuracy"], row["nonzero_macs"] / macs(MEMBERS[-1])] for row in mine]
        found.append(hypervolume(np.array(points), (0.7, 1.01)))
    return found


def hours(run: Runner, rows: list[Row], arm: str) -> Row:
    """CPU-hours of an arm over all seeds: of its models' own steps, of parents (each once), of searches (each once)."""
    mine = [row for row in rows if row["arm"] == arm]
    parents = {(row["seed"], row["parent_seconds"]) for row in mine}
    searches = {(row["seed"], row["search_seconds"]) for row in mine}
    return {
        "models": len(mine),
        "own": sum(row["own_seconds"] for row in mine) / 3600,
        "parents": sum(seconds for _, seconds in parents) / 3600,
        "search": sum(seconds for _, seconds in searches) / 3600,
    }


def table(figures: Row) -> str:
    """The figures as Markdown."""
    rows, members = figures["rows"], figures["members"]
    heads = [f"{members[member] / 1e6:.2f} M MACs" for member in MEMBERS]
    lines = [f"| top-1 in %: mean (each seed) | {' | '.join(heads)} |", "|---" * (len(MEMBERS) + 1) + "|"]
    for arm, words in ARMS.items():
        cells = [_cell([row for row in rows if (row["arm"], row["budget"]) == (arm, member)]) for member in MEMBERS]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    lines.append(
        f"| MACs of what was searched for, zeros removed | {' | '.join(_found(rows, one) for one in MEMBERS)} |"
    )
    lines += ["", "| hypervolume with the family's own models | each seed | mean |", "|---|---|---|"]
    for arm, values in figures["worth"].items():
        if values:
            each = ", ".join(f"{value:.4f}" for value in values)
            lines.append(f"| {ARMS[arm]} | {each} | {mean(values):.4f} |")
    lines += [
        "",
        "| CPU-hours | models | pruning and training | training of parents | search |",
        "|---|---|---|---|---|",
    ]
    for arm, spent in figures["hours"].items():
        cells = [f"{spent[name]:.3f}" for name in ("own", "parents", "search")]
        lines.append(f"| {ARMS[arm]} | {spent['models']} | {' | '.join(cells)} |")
    lines += ["", *_claim(figures["hours"]), f"CPU-hours of everything: {figures['cpu_hours']:.2f}", ""]
    return "\n".join(lines)


def _cell(found: list[Row]) -> str:
    values = [100 * row["accuracy"] for row in found]
    return f"{mean(values):.2f} ({', '.join(f'{value:.2f}' for value in values)})" if values else ""


def _found(rows: list[Row], member: str) -> str:
    values = [row["nonzero_macs"] / 1e6 for row in rows if (row["arm"], row["budget"]) == ("joint", member)]
    return ", ".join(f"{value:.2f} M" for value in values)


def _claim(spent: Row) -> list[str]:
    """What pruning takes over what the search and its final models take, for equally many models."""
    joint = spent["joint"]
    if not joint["models"]:
        return []
    whole = (joint["own"] + joint["search"]) / joint["models"]
    found = []
    for arm in CUTS:
        if spent[arm]["models"]:
            share = spent[arm]["own"] / spent[arm]["models"] / whole
            found.append(f"{ARMS[arm]}: {share:.2f} of the search's CPU time for each model (parents not counted)  ")
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder with train/ and test/, or a tar of it")
    parser.add_argument("--work", type=Path, default=Path("runs/compact"))
    parser.add_argument("--table", action="store_true", help="print what there is, run nothing")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--train", type=int, default=500, help="training images of each class")
    parser.add_argument("--held-out", type=int, default=100, help="of each class, to judge epochs and candidates by")
    parser.add_argument("--test", type=int, default=500, help="test images of each class")
    parser.add_argument("--epochs", type=int, default=5, help="of parents, and again of what is made of them")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.05, help="from nothing")
    parser.add_argument("--tuning-lr", type=float, default=0.02, help="of pruned networks")
    parser.add_argument("--supernet-epochs", type=float, default=4.0)
    parser.add_argument("--trials", type=int, default=96)
    parser.add_argument("--population", type=int, default=16)
    parser.add_argument("--eval-samples", type=int, default=500)
    return parser.parse_args()


if __name__ == "__main__":
    main()
