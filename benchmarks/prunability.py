"""The prunability ladder: all of torchvision, one of every timm module, a process each, no per-model code.

    python benchmarks/prunability.py --results runs/prunability.jsonl                 # all rungs, hours
    python benchmarks/prunability.py --results runs/prunability.jsonl --rungs engine  # up to backward, much quicker
    python benchmarks/prunability.py --results runs/prunability.jsonl --only 'timm:vit*' --limit 300

Rungs: captured; pruned to half the MACs within 1 %; permutation and removal proofs in float64; forward and backward;
saved and loaded in a fresh process; ONNX equal in ONNX Runtime; compiled by TensorRT for RTX. Networks that are in the
results file already are not run again.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import fnmatch
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ENGINE = ("captured", "pruned", "proven", "trained")
FILES = ("reloaded", "onnx", "tensorrt")
DETECTORS = ("rcnn", "retinanet", "fcos", "ssd")
SMALL = (
    "test_",
    "atto",
    "femto",
    "pico",
    "nano",
    "xxs",
    "xx_small",
    "tiny",
    "_ti",
    "_xs",
    "small",
    "_s",
    "b0",
    "050",
    "18",
    "26",
)


def main() -> None:
    """Run the ladder, or one network of it (in the child process)."""
    options = _options()
    if options.one:
        _one(options.one, options.rungs)
        return
    done = {row["ref"] for row in _rows(options.results)}
    wanted = [ref for ref in references() if fnmatch.fnmatch(ref, options.only) and ref not in done]
    options.results.parent.mkdir(parents=True, exist_ok=True)
    for number, ref in enumerate(wanted, 1):
        row = _limited(ref, options.rungs, options.limit)
        with options.results.open("a") as stream:
            stream.write(json.dumps(row) + "\n")
        print(f"{number}/{len(wanted)} {_line(row)}", flush=True)
    _summary(_rows(options.results))


def references() -> list[str]:
    """All torchvision entries except quantised ones, and the smallest-named network of every timm module."""
    import models

    found = [f"torchvision:{name}" for name in _torchvision_names()]
    models.torchvision_shim.ensure()
    import timm

    for module in sorted(timm.list_modules()):
        names = timm.list_models(module=module)
        if names:
            found.append(f"timm:{min(names, key=_size_rank)}")
    return found


def _torchvision_names() -> list[str]:
    import models

    models.torchvision_shim.ensure()
    from torchvision.models import list_models

    return [name for name in list_models() if not name.startswith("quantized_")]


def _size_rank(name: str) -> tuple[int, int, str]:
    return next((at for at, mark in enumerate(SMALL) if mark in name), len(SMALL)), len(name), name


def _limited(ref: str, rungs: str, limit: int) -> dict[str, Any]:
    """Run one network in a child process and return its row, whatever becomes of the child."""
    command = [sys.executable, __file__, "--one", ref, "--rungs", rungs]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired as error:
        output = error.stdout.decode() if isinstance(error.stdout, bytes) else (error.stdout or "")
        return _last(output, ref) | {"failed": f"time limit of {limit} s"}
    row = _last(found.stdout, ref)
    if found.returncode and "failed" not in row:
        row["failed"] = f"ended with code {found.returncode}: {found.stderr.strip().splitlines()[-1:]}"
    return row


def _last(output: str, ref: str) -> dict[str, Any]:
    lines = [line for line in output.splitlines() if line.startswith("{")]
    return dict(json.loads(lines[-1])) if lines else {"ref": ref}


def _one(ref: str, rungs: str) -> None:
    """Climb the ladder, printing the row after every rung so that a killed process leaves what it reached."""
    row: dict[str, Any] = {"ref": ref, "rungs": [], "seconds": {}}
    climber = _Climber(ref)
    for rung in ENGINE if rungs == "engine" else ENGINE + FILES:
        begun = time.process_time()
        step: Callable[[], dict[str, Any]] = getattr(climber, rung)
        try:
            row |= step()
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is this network's result
            row["failed"] = f"{rung}: {type(error).__name__}: {str(error)[:300]}"
            break
        row["rungs"].append(rung)
        row["seconds"][rung] = round(time.process_time() - begun, 2)
        row["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(json.dumps(row), flush=True)
    print(json.dumps(row), flush=True)


class _Climber:
    """One method for each rung; what one leaves the next takes up."""

    def __init__(self, ref: str) -> None:
        self._ref = ref
        self._folder = Path(tempfile.mkdtemp(prefix="ladder-"))

    def captured(self) -> dict[str, Any]:
        from compress.loading import create

        part = "backbone" if any(mark in self._ref for mark in DETECTORS) else None
        self._dense = create(self._ref, submodule=part)
        return {"nodes": len(self._dense.graphs[False].nodes), "submodule": part}

    def pruned(self) -> dict[str, Any]:
        import compress

        begun = time.process_time()
        result = compress.prune(self._dense, "macs=0.5")
        seconds = time.process_time() - begun
        self._small = result.program
        achieved = result.report.after.macs / result.report.before.macs
        if abs(achieved - 0.5) > 0.01:
            raise RuntimeError(f"reached {achieved:.3f} of the MACs ({result.report.note})")
        return {
            "macs": achieved,
            "prune_seconds": round(seconds, 2),
            "reachable": result.report.reachable,
            "unknown": sorted(set(result.report.unknown_operators.values())),
        }

    def proven(self) -> dict[str, Any]:
        from compress.axes.verify import verify

        found = verify(self._dense)
        if not found.passed:
            raise RuntimeError(f"permutation {found.permutation_error:.1e}, removal {found.removal_error:.1e}")
        return {"permutation": found.permutation_error, "removal": found.removal_error, "moved": found.moved}

    def trained(self) -> dict[str, Any]:
        outputs = self._small.module(training=True)(*self._small.example_inputs())
        parts = outputs if isinstance(outputs, tuple) else (outputs,)
        sum(part.float().square().mean() for part in parts).backward()
        return {}

    def reloaded(self) -> dict[str, Any]:
        path = self._folder / "small.pt2"
        self._small.save(path)
        check = "import compress, sys; print(compress.load(sys.argv[1]).fingerprint())"
        found = subprocess.run([sys.executable, "-c", check, str(path)], capture_output=True, text=True, check=True)
        if found.stdout.strip() != self._small.fingerprint():
            raise RuntimeError("the reloaded network differs")
        return {}

    def onnx(self) -> dict[str, Any]:
        import exporters

        artifact = exporters.to_onnx(self._small, self._folder / "small.onnx")
        return {"onnx": artifact.verification}

    def tensorrt(self) -> dict[str, Any]:
        import exporters

        exporters.to_tensorrt(self._folder / "small.onnx", self._folder / "small.engine", compute_capability="8.6")
        return {}


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _line(row: dict[str, Any]) -> str:
    reached = row.get("rungs") or ["nothing"]
    return f"{row['ref']:<48} {reached[-1]:<10} {row.get('failed', '')}"


def _summary(rows: list[dict[str, Any]]) -> None:
    for zoo in ("torchvision", "timm"):
        mine = [row for row in rows if row["ref"].startswith(zoo)]
        counts = {rung: sum(rung in row.get("rungs", []) for row in mine) for rung in ENGINE + FILES}
        print(f"{zoo}: {len(mine)} networks, " + ", ".join(f"{rung} {count}" for rung, count in counts.items()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("runs/prunability.jsonl"))
    parser.add_argument("--rungs", choices=("engine", "all"), default="all")
    parser.add_argument("--only", default="*", help="pattern of references")
    parser.add_argument("--limit", type=int, default=600, help="seconds for each network")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
