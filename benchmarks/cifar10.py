"""Real input, end to end: a trained CIFAR ResNet, its images, the public command line; every command and figure.

    python benchmarks/cifar10.py --images IMAGES.tar.xz --checkpoint resnet20.th --model models:resnet20 --epochs 3

The dense network is first finetuned on the same images with the same number of epochs: that is the baseline. Steps
whose output exists are not repeated, and an interrupted training goes on: run the same line again.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

from compress.info import versions


def main() -> None:
    """Run all steps and write ``figures.json`` and ``figures.md`` into the work folder."""
    options = _options()
    work: Path = options.work
    work.mkdir(parents=True, exist_ok=True)
    images = unpacked(options.images, work)
    run = Runner(work)
    train = [
        "--data",
        f"imagefolder:{images}",
        "--epochs",
        str(options.epochs),
        "--lr",
        str(options.lr),
        "--seed",
        str(options.seed),
    ]
    run.step("dense", "dense.pt2", ["finetune", str(options.checkpoint), "--model", options.model, *train])
    prune = ["--target", options.target, "--criterion", options.criterion, "--granularity", str(options.granularity)]
    run.step("small", "small.pt2", ["prune", "dense.pt2", *prune, *train])
    for name in ("dense", "small"):
        run.step(
            f"export-{name}",
            f"{name}.onnx",
            ["export", f"{name}.pt2", "--onnx", "--data", f"imagefolder:{images}"],
            names_output=False,
        )
        run.step(f"evaluate-{name}", None, ["evaluate", f"{name}.onnx", "--data", f"imagefolder:{images}"])
    for threads in (1, 2):
        run.step(f"profile-{threads}", None, ["profile", "dense.onnx", "small.onnx", "--threads", str(threads)])
        run.step(
            f"gate-{threads}",
            None,
            ["gate", "dense.onnx", "small.onnx", "--max-regression", "5%", "--threads", str(threads)],
        )
    run.step("report", "report.html", ["report", "dense.onnx", "small.onnx", "-o", "report.html"], names_output=False)
    summary = {
        "versions": versions(),
        "machine": _machine(),
        "options": {k: str(v) for k, v in vars(options).items()},
        "steps": run.records,
    }
    (work / "figures.json").write_text(json.dumps(summary, indent=1))
    print(f"figures: {work / 'figures.json'}")


class Runner:
    """Runs ``compress`` in the work folder, remembers commands, seconds and what they said."""

    def __init__(self, work: Path) -> None:
        self._work = self.folder = work
        self._kept = work / "steps.json"
        self.records: dict[str, Any] = json.loads(self._kept.read_text()) if self._kept.exists() else {}

    def step(
        self,
        name: str,
        output: str | None,
        arguments: list[str],
        *,
        names_output: bool = True,
        target: str | None = None,
    ) -> None:
        """Run one command unless it is recorded already; ``output`` is the file that it writes, ``target`` what -o
        names where that is something else.
        """
        done = name in self.records and (output is None or (self._work / output).exists())
        named = target or output
        option = ["-o", named] if named is not None and names_output else []
        command = ["compress", *arguments, *option, "--json"]
        print(f"{'done   ' if done else 'running'} {shlex.join(command)}", flush=True)
        if done:
            return
        begun, cpu = time.monotonic(), os.times()
        found = subprocess.run(
            [sys.executable, "-m", *command], cwd=self._work, stdout=subprocess.PIPE, text=True, check=False
        )
        spent = os.times()
        cpu_seconds = spent.children_user + spent.children_system - cpu.children_user - cpu.children_system
        before = f"{name}, interrupted"
        cpu_seconds += self.records.pop(before, {}).get("cpu_seconds", 0.0)
        if found.returncode not in (0, 1, 3):
            self.records[before] = {"cpu_seconds": round(cpu_seconds, 1)}
            self._kept.write_text(json.dumps(self.records, indent=1))
            sys.exit(f"{shlex.join(command)} ended with exit code {found.returncode}")
        self.records[name] = {
            "command": shlex.join(command),
            "exit_code": found.returncode,
            "seconds": round(time.monotonic() - begun, 1),
            "cpu_seconds": round(cpu_seconds, 1),
            "result": json.loads(found.stdout),
        }
        self._kept.write_text(json.dumps(self.records, indent=1))


def unpacked(source: Path, work: Path) -> Path:
    """Return the folder of images, unpacked into ``work`` where ``source`` is an archive."""
    if source.is_dir():
        return source.resolve()
    folder = work / "images"
    if not folder.exists():
        with tarfile.open(source) as archive:
            archive.extractall(folder, filter="data")
    return folder.resolve()


def _machine() -> str:
    return f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder with train/ and test/, or a tar of it")
    parser.add_argument("--checkpoint", type=lambda text: Path(text).resolve(), required=True)
    parser.add_argument("--model", default="models:resnet20")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", default="macs=0.5")
    parser.add_argument("--criterion", default="l2")
    parser.add_argument("--granularity", type=int, default=8)
    parser.add_argument("--work", type=Path, default=Path("runs/cifar10"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
