"""Channels and weights decided together against either alone: searched, trained, exported and measured.

    python benchmarks/joint.py --images cifar10-jpeg.tar.xz --checkpoint resnet20-12fca82f.th --work runs/joint

Every arm gets the same trials, the same training of shared weights, and final models with the same epochs; the same
images go into uniform width scaling (the same share of every width) and Torch-Pruning (inner convolutions alone: the
zero-padded shortcuts stop it elsewhere) at given shares of the multiply-accumulates. What searches and trains sees a
part of the training images and is held out on another; accuracy is of the deployed files on the test images.

All files are measured in one interleaved run. The hypervolume is over (error, latency relative to the dense network),
bounded by ``--reference``. Steps whose output exists are not repeated, and an interrupted one goes on: run the same
line again. ``cpu_seconds`` of all steps are summed up.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.cifar10 import Runner, unpacked

ARMS = {"joint": "both", "widths": "widths", "weights": "weights"}
Row = dict[str, Any]


def main() -> None:
    """Run all steps and write ``joint.json`` and ``joint.md`` into the work folder."""
    options = _options()
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    part, judged = parts(unpacked(options.images, work), work, options.train, options.held_out)
    run = Runner(work)
    data = ["--data", f"imagefolder:{part}"]
    train = [*data, "--epochs", str(options.epochs), "--lr", str(options.lr)]
    source = [str(options.checkpoint), "--model", options.model]
    run.step("dense", "dense.pt2", ["finetune", *source, *train, "--seed", "0"])
    model = calibrated(run, options)
    for seed in range(options.seeds):
        for arm in ARMS:
            search(run, arm, seed, model, options, data)
            finals(run, arm, seed, options)
        baselines(run, seed, train, options)
    rows = deployed(run, work, options)
    judge(run, rows, judged)
    figures = {"options": {key: str(value) for key, value in vars(options).items()}, "rows": measured(rows, work)}
    figures["worth"] = worth(figures["rows"], options)
    figures["cpu_hours"] = sum(record["cpu_seconds"] for record in run.records.values()) / 3600
    (work / "joint.json").write_text(json.dumps(figures, indent=1))
    (work / "joint.md").write_text(table(figures))
    print(table(figures))


def parts(images: Path, work: Path, train: int, held_out: int) -> tuple[Path, Path]:
    """Return two folders: what searches and trains may see (so many training images of each class, and others held
    out), and the test images beside the same training images.
    """
    part, judged = work / "part", work / "judged"
    if not (part / "done").exists():
        shutil.rmtree(part, ignore_errors=True)
        for name in sorted(folder.name for folder in (images / "train").iterdir() if folder.is_dir()):
            files = sorted((images / "train" / name).iterdir())
            for kind, chosen in (("train", files[:train]), ("val", files[train : train + held_out])):
                (part / kind / name).mkdir(parents=True)
                for file in chosen:
                    os.link(file, part / kind / name / file.name)
        (part / "done").touch()
    judged.mkdir(exist_ok=True)
    for name, target in (("train", part / "train"), ("test", images / "test")):
        if not (judged / name).exists():
            (judged / name).symlink_to(target.resolve())
    return part.resolve(), judged.resolve()


def calibrated(run: Runner, options: argparse.Namespace) -> list[str]:
    """Calibrate the runtime once, with zeros; the cost that searches are given."""
    if options.objective == "macs":
        return ["--objective", "macs"]
    command = ["calibrate", "dense.pt2", "--sparse", "--runtime", options.runtime]
    run.step("calibrate", "dense.latency.json", command)
    return ["--latency-model", "dense.latency.json"]


def search(run: Runner, arm: str, seed: int, model: list[str], options: argparse.Namespace, data: list[str]) -> None:
    """One search of one arm."""
    folder = f"{arm}{seed}"
    asked = ["--method", "jcw", "--decide", ARMS[arm], "--seed", str(seed), "--trials", str(options.trials)]
    asked += ["--population", str(options.population), "--supernet-epochs", str(options.supernet_epochs)]
    asked += ["--lowest-width", str(options.lowest_width), "--lowest-density", str(options.lowest_density)]
    asked += ["--eval-samples", str(options.eval_samples), "--statistics", "4"]
    resumed = ["--resume"] if (run.folder / folder / "study.db").exists() else []
    run.step(f"search-{folder}", f"{folder}/front.json", ["search", "dense.pt2", *asked, *model, *data, *resumed],
             target=folder)  # fmt: skip


def finals(run: Runner, arm: str, seed: int, options: argparse.Namespace) -> None:
    """The final models of one arm."""
    folder = f"{arm}{seed}"
    picks = [*picked(run.folder / folder / "front.json", options), "--epochs", str(options.epochs)]
    picks += ["--lr", str(options.lr)]
    seeded = ["--seed", str(seed), "--seconds", "0.5"]
    run.step(f"finals-{folder}", f"{folder}/finals.json", ["search", "--from", folder, *picks, *seeded],
             names_output=False)  # fmt: skip


def picked(front: Path, options: argparse.Namespace) -> list[str]:
    """Picks at the same shares of the dense cost in every arm, those that its front reaches; else its knee."""
    found = json.loads(front.read_text())
    floor = found["points"][0]["cost"] / found["cost"]["dense"]
    wanted = [f"{found['cost']['name']}={share}" for share in options.costs if share >= floor]
    return [part for pick in wanted or ["knee"] for part in ("--pick", pick)]


def baselines(run: Runner, seed: int, train: list[str], options: argparse.Namespace) -> None:
    """Uniform width scaling and Torch-Pruning at the same shares of the multiply-accumulates."""
    for share in options.shares:
        name = f"uniform-{share}-{seed}"
        cut = ["--target", f"macs={share}", "--scope", "local", "--criterion", "l2", "--granularity", "4"]
        run.step(name, f"{name}.pt2", ["prune", "dense.pt2", *cut, *train, "--seed", str(seed)])
        name = f"tp-{share}-{seed}"
        pruned = run.folder / f"tp-{share}.pt2"
        if not pruned.exists():
            torch_pruned(run.folder / "dense.pt2", options.model, share, pruned)
        tuned = ["finetune", pruned.name, "--teacher", "dense.pt2", *train, "--seed", str(seed)]
        run.step(name, f"{name}.pt2", tuned)


def torch_pruned(dense: Path, reference: str, share: float, output: Path) -> None:
    """Cut the inner convolutions of residual blocks with Torch-Pruning to a share of the MACs, and save the network.

    ``GroupMagnitudeImportance(p=2)``; the share of channels is found by bisection, widths are multiples of 4.
    """
    import torch
    import torch_pruning

    import compress
    import models

    program = compress.load(dense)
    example = torch.zeros(1, *program.inputs[0].shape[1:])

    def cut(ratio: float) -> compress.Program:
        module = models.create(reference)
        module.load_state_dict(program.state_dict())
        module.eval()
        inner = [name for name, _ in module.named_modules() if name.endswith(".conv1")]
        ignored = [
            part
            for name, part in module.named_modules()
            if name not in inner and isinstance(part, (torch.nn.Conv2d, torch.nn.Linear))
        ]
        torch_pruning.pruner.MetaPruner(
            module, example, importance=torch_pruning.importance.GroupMagnitudeImportance(p=2), pruning_ratio=ratio,
            ignored_layers=ignored, round_to=4,
        ).step()  # fmt: skip
        return compress.capture(module, (example,))

    low, high, wanted = 0.0, 1.0, share * program.count().macs
    for _ in range(7):
        middle = (low + high) / 2
        low, high = (middle, high) if cut(middle).count().macs > wanted else (low, middle)
    found = cut(high)
    found.info.preprocessing, found.info.classes = program.info.preprocessing, program.info.classes
    found.save(output)


def deployed(run: Runner, work: Path, options: argparse.Namespace) -> list[Row]:
    """Every final model's file, with what is known of it."""
    rows: list[Row] = []
    for seed in range(options.seeds):
        for arm in ARMS:
            folder = f"{arm}{seed}"
            rows += [
                {"arm": arm, "seed": seed, "file": f"{folder}/{final['deployed']}", **_kept(final)}
                for final in run.records[f"finals-{folder}"]["result"]["finals"]
            ]
        for method in ("uniform", "tp"):
            for share in options.shares:
                name = f"{method}-{share}-{seed}"
                run.step(f"export-{name}", f"{name}.onnx", ["export", f"{name}.pt2", "--onnx"], names_output=False)
                rows.append({"arm": method, "seed": seed, "file": f"{name}.onnx"})
    run.step("export-dense", "dense.onnx", ["export", "dense.pt2", "--onnx"], names_output=False)
    rows.append({"arm": "dense", "seed": 0, "file": "dense.onnx"})
    for row in rows:  # measured side by side, they need names of their own, and the library beside them
        row["measured"] = f"all/{row['file'].replace('/', '-')}"
        (work / "all").mkdir(exist_ok=True)
        for source in (work / row["file"], *(work / row["file"]).parent.glob("libcompress_sparse.*")):
            target = work / "all" / (row["file"].replace("/", "-") if source.name in row["file"] else source.name)
            if not target.exists():
                os.link(source, target)
    return rows


def _kept(final: Row) -> Row:
    return {name: final[name] for name in ("predicted", "macs", "nonzero_macs", "loss", "begun")}


def judge(run: Runner, rows: list[Row], judged: Path) -> None:
    """The accuracy of every deployed file on the test images, and the latency of all of them interleaved."""
    for row in rows:
        step = f"evaluate-{row['measured']}"
        run.step(step, None, ["evaluate", row["measured"], "--data", f"imagefolder:{judged}"])
        result = run.records[step]["result"]
        row["accuracy"] = result.get("top1") or result["metrics"]["top1"]
    run.step("profile", None, ["profile", *(row["measured"] for row in rows), "--threads", "1", "--seconds", "3"])


def measured(rows: list[Row], work: Path) -> list[Row]:
    """The rows with milliseconds and their share of the dense network's."""
    profiles = json.loads((work / "steps.json").read_text())["profile"]["result"]["profiles"]
    times = {Path(profile["file"]["name"]).name: profile["p50"]["value"] for profile in profiles}
    whole = times["dense.onnx"]
    found = [{**row, "ms": times[Path(row["measured"]).name]} for row in rows]
    return [{**row, "ratio": row["ms"] / whole} for row in found]


def worth(rows: list[Row], options: argparse.Namespace) -> dict[str, list[float]]:
    """The hypervolume of each arm's models, a figure for every seed."""
    import numpy as np

    from compress.search.hypervolume import hypervolume

    error, ratio = options.reference
    found: dict[str, list[float]] = {}
    for arm in (*ARMS, "uniform", "tp"):
        for seed in range(options.seeds):
            mine = [[1 - row["accuracy"], row["ratio"]] for row in rows if (row["arm"], row["seed"]) == (arm, seed)]
            found.setdefault(arm, []).append(hypervolume(np.array(mine), (error, ratio)))
    return found


def table(figures: Row) -> str:
    """The figures as Markdown."""
    lines = ["| arm | seed | accuracy | latency of dense | MACs | of them not zero |", "|---|---|---|---|---|---|"]
    for row in sorted(figures["rows"], key=lambda row: (row["arm"], row["seed"], row["ratio"])):
        macs = [f"{row[name] / 1e6:.1f} M" if name in row else "" for name in ("macs", "nonzero_macs")]
        lines.append(
            f"| {row['arm']} | {row['seed']} | {row['accuracy']:.4f} | {row['ratio']:.3f} | {' | '.join(macs)} |"
        )
    lines += ["", "| arm | hypervolume, each seed | mean |", "|---|---|---|"]
    for arm, values in figures["worth"].items():
        lines.append(f"| {arm} | {', '.join(f'{value:.5f}' for value in values)} | {mean(values):.5f} |")
    return "\n".join([*lines, "", f"CPU-hours: {figures['cpu_hours']:.2f}", ""])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder with train/ and test/, or a tar of it")
    parser.add_argument("--checkpoint", type=lambda text: Path(text).resolve(), required=True)
    parser.add_argument("--model", default="models:resnet20")
    parser.add_argument("--work", type=Path, default=Path("runs/joint"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train", type=int, default=1500, help="training images of each class")
    parser.add_argument("--held-out", type=int, default=200, help="of each class, to judge candidates and epochs by")
    parser.add_argument("--epochs", type=int, default=5, help="of the dense network and of every final model")
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--supernet-epochs", type=float, default=6.0)
    parser.add_argument("--trials", type=int, default=160)
    parser.add_argument("--population", type=int, default=16)
    parser.add_argument("--eval-samples", type=int, default=1000)
    parser.add_argument("--costs", type=float, nargs="+", default=[0.35, 0.5, 0.7], help="final models, of the dense")
    parser.add_argument("--lowest-width", type=float, default=0.25)
    parser.add_argument("--lowest-density", type=float, default=0.1)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.5, 0.3], help="of the MACs, for the baselines")
    parser.add_argument("--objective", choices=["latency", "macs"], default="latency")
    parser.add_argument("--runtime", default="onnxruntime-cpu")
    parser.add_argument("--reference", type=float, nargs=2, default=(0.35, 1.0), help="error and latency that bound")
    return parser.parse_args()


if __name__ == "__main__":
    main()
