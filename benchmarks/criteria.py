"""Which criterion loses least, before any training: a trained CIFAR ResNet on its images, one cut for each criterion.

    python benchmarks/criteria.py --images IMAGES.tar.xz --checkpoint resnet20.th --model models:resnet20

Every cut is measured twice: as it is, and after the batch-norm statistics were estimated anew. Cuts recorded in
the work folder are not repeated: run the same line again after an interruption. The tables go to stdout.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import tarfile
import time
from pathlib import Path
from typing import Any

import compress
from compress import Program, data
from compress.data import DataSource
from compress.importance import CRITERIA, ISOMORPHIC, NORMALISATIONS
from compress.info import versions
from compress.training import evaluate, reestimate_batch_norm

STEPPED = ("l2", "fisher")  # also in four steps, and with every normalisation
WAYS = [how for how in [*NORMALISATIONS, ISOMORPHIC] if how != "mean"]


def main() -> None:
    """Cut, measure, print."""
    options = _options()
    options.work.mkdir(parents=True, exist_ok=True)
    images = _unpacked(options.images, options.work, options.share)
    program = compress.load(options.checkpoint, model=options.model)
    source = data.load(f"imagefolder:{images}")
    runs = Runs(options, program, source)
    for seed in range(options.seeds):
        runs.dense(seed)
        for criterion in CRITERIA:
            runs.cut(seed, criterion)
    for criterion in STEPPED:
        runs.cut(0, criterion, steps=4)
        for normalisation in WAYS:
            runs.cut(0, criterion, normalisation=normalisation)
    print(json.dumps({name: versions()[name] for name in ("python", "torch")}), f"{len(source.val)} test images")
    print(_table(runs.records, options.seeds))


class Runs:
    """Cuts the network and remembers what came of it."""

    def __init__(self, options: argparse.Namespace, program: Program, source: DataSource) -> None:
        self._options, self._program, self._source = options, program, source
        self._kept: Path = options.work / "criteria.json"
        self.records: dict[str, Any] = json.loads(self._kept.read_text()) if self._kept.exists() else {}

    def dense(self, seed: int) -> None:
        """Measure the network as it is, and with its statistics estimated anew."""
        self._record(f"dense/{seed}", lambda: (self._program.copy(), 0.0, "macs=1.000"), seed)

    def cut(self, seed: int, criterion: str, **settings: Any) -> None:
        """Cut by ``criterion``, measure, record."""

        def made() -> tuple[Program, float, str]:
            began = time.process_time()
            result = compress.prune(
                self._program, self._options.target, criterion=criterion, granularity=1, seed=seed,
                data=self._source if CRITERIA[criterion].needs_data else None, **settings,
            )  # fmt: skip
            return result.program, time.process_time() - began, result.report.achieved

        self._record("/".join([criterion, *(f"{k}={v}" for k, v in settings.items()), str(seed)]), made, seed)

    def _record(self, name: str, make: Any, seed: int) -> None:
        if name in self.records:
            return
        program, seconds, achieved = make()
        cut = evaluate(program, self._source)
        reestimate_batch_norm(program, self._source, seed=seed, batches=self._options.batches)
        after = evaluate(program, self._source)
        self.records[name] = {
            "cut": cut["top1"], "batch_norm": after["top1"], "loss": after["loss"], "achieved": achieved,
            "seconds": round(seconds, 1),
        }  # fmt: skip
        print(name, self.records[name], flush=True)
        self._kept.write_text(json.dumps(self.records, indent=1))


def _table(records: dict[str, Any], seeds: int) -> str:
    rows = ["| | after cutting | after batch-norm re-estimation | seconds |", "|---|---|---|---|"]
    for name in ("dense", *CRITERIA):
        found = [records[f"{name}/{seed}"] for seed in range(seeds)]
        figures = [_spread([100 * record[part] for record in found]) for part in ("cut", "batch_norm")]
        rows.append(f"| {name} | {figures[0]} | {figures[1]} | {max(record['seconds'] for record in found):.0f} |")
    ways = ["steps=4", *(f"normalisation={how}" for how in WAYS)]
    rows += ["", f"| | mean, one step | four steps | {' | '.join(WAYS)} |", "|---" * (len(WAYS) + 3) + "|"]
    for name in STEPPED:
        found = [records[f"{name}/0"], *(records[f"{name}/{way}/0"] for way in ways)]
        rows.append(f"| {name} | " + " | ".join(f"{100 * record['batch_norm']:.1f}" for record in found) + " |")
    return "\n".join(rows)


def _spread(values: list[float]) -> str:
    """Mean and range."""
    mean = sum(values) / len(values)
    return f"{mean:.1f}" if max(values) == min(values) else f"{mean:.1f} ({min(values):.1f} to {max(values):.1f})"


def _unpacked(source: Path, work: Path, share: int) -> Path:
    """The folder of images; of an archive's test part every ``share``-th of each class."""
    if source.is_dir():
        return source.resolve()
    folder = work / f"images-{share}"
    if not folder.exists():
        with tarfile.open(source) as archive:
            files = sorted((entry for entry in archive if entry.isfile()), key=lambda entry: entry.name)
            test = [entry for entry in files if "test/" in entry.name]
            left_out = {entry.name for at, entry in enumerate(test) if at % share}
            archive.extractall(folder, [entry for entry in files if entry.name not in left_out], filter="data")
    return folder.resolve()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder with train/ and test/, or a tar of it")
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--model")
    parser.add_argument("--target", default="macs=0.7")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--share", type=int, default=5, help="measure on every so many-th test image of the archive")
    parser.add_argument("--batches", type=int, default=20, help="of 128 images, for batch-norm statistics")
    parser.add_argument("--work", type=Path, default=Path("runs/criteria"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
