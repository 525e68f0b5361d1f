"""What each pattern of zeros costs in accuracy, at equal finetuning: a trained CIFAR network on its images.

    python benchmarks/sparse_accuracy.py --images IMAGES.tar.xz --checkpoint resnet20.th --model models:resnet20

First the dense network is finetuned with the same number of epochs; every sparse one starts from it. A run that is
recorded in the work folder is not repeated, and an interrupted one goes on: run the same line again. ``--epochs-dense``
trains the baseline for longer, where there is no checkpoint (``--checkpoint`` then names the model alone).
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.cifar10 import Runner, unpacked

RUNS = [
    *((pattern, sparsity) for sparsity in (0.8, 0.9) for pattern in ("unstructured", "2x1", "4x1")),
    ("2:4", 0.5),
]


def main() -> None:
    """Train what is not trained yet, and print the table."""
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    images = unpacked(options.images, options.work)
    run = Runner(options.work)
    shared = ["--data", f"imagefolder:{images}", "--lr", str(options.lr), "--seed", str(options.seed)]
    epochs = ["--epochs", str(options.epochs)]
    dense = ["finetune", str(options.checkpoint), *(["--model", options.model] if options.model else [])]
    longer = ["--epochs", str(options.epochs_dense or options.epochs)]
    run.step("dense", "dense.pt2", [*dense, *shared, *longer])
    for pattern, sparsity in RUNS:
        name = f"{pattern.replace(':', '-')}-{sparsity:g}"
        zeros = ["--pattern", pattern, "--sparsity-schedule", options.schedule]
        zeros += [] if pattern == "2:4" else ["--sparsity", str(sparsity)]
        run.step(name, f"{name}.pt2", ["prune", "dense.pt2", *zeros, *shared, *epochs])
    print(table(options.work))


def table(work: Path) -> str:
    """Return accuracies by pattern, from the records."""
    records = json.loads((work / "steps.json").read_text())
    lines = ["| pattern | zeros | top-1 | CPU s |", "|---|---|---|---|"]
    for name, record in records.items():
        pattern, _, sparsity = name.rpartition("-") if name != "dense" else (name, "", "0")
        result = record["result"]
        top1 = result["after"]["top1"] if name == "dense" else result["accuracy"]["finetuned"]["top1"]
        lines.append(f"| {pattern} | {sparsity} | {top1:.2%} | {record['cpu_seconds']:.0f} |")
    return "\n".join(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="archive, or folder of the unpacked images")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--model", help="reference of the model, such as models:resnet20")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--epochs-dense", type=int)
    parser.add_argument("--lr", type=float, default=0.02)
    parser.add_argument("--schedule", default="cubic")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("runs/sparse-accuracy"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
