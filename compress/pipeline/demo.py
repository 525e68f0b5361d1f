"""``make demo``: the main job from beginning to end, through the public command line only.

python -m compress.pipeline.demo FOLDER
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from compress.pipeline.tables import change, figure

EPOCHS = 12
UNAVAILABLE = 4
SHOWN = ("MACs", "parameters", "file size", "accuracy (top1)", "latency p50")

TRAIN = f"finetune models:digitsnet --data digits --epochs {EPOCHS} --lr 0.05 -o dense.pt2 --force --restart"
PRUNE = f"prune dense.pt2 --target macs=0.5 --data digits --epochs {EPOCHS} -o small.pt2 --force --restart"
EXPORT_DENSE = "export dense.pt2 --onnx --data digits --force"
EXPORT_SMALL = "export small.pt2 --onnx --trt --data digits --force"
PROFILE = "profile dense.onnx small.onnx"
REPORT = "report dense.onnx small.onnx --data digits -o report.html -o report.json --force"
GATE = "gate dense.onnx small.onnx --max-regression 5%"


class DemoError(Exception):
    """A command of the demo ended with an exit code that it should not have."""


def main(folder: Path) -> int:
    """Run the demo in ``folder`` and return its exit code."""
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    _write(f"demo: commands run in {folder}/; copy them from here to run them yourself")
    try:
        _run("Train a small residual network on handwritten digits, from random weights", TRAIN, folder)
        _run(
            "Prune it to half the multiply-accumulates, and finetune it with the dense network as teacher",
            PRUNE,
            folder,
        )
        _run("Export the dense network, as the baseline", EXPORT_DENSE, folder)
        engines = _export(folder)
        _run("Measure both files, interleaved", PROFILE, folder)
        _run("Put everything that is known on one page", REPORT, folder)
        verdict = _run("Gate: may the small one replace the dense one?", GATE, folder, allowed=(0, 1, 3))
    except DemoError as error:
        sys.stderr.write(f"error: the demo stopped: {error}\n")
        return 1
    _summary(folder, engines, verdict, time.monotonic() - started)
    return 0


def _export(folder: Path) -> bool:
    """Export with TensorRT where it is installed, else without, saying so; return whether there are engines."""
    code = _run(
        "Export the small network as ONNX and as TensorRT engines", EXPORT_SMALL, folder, allowed=(0, UNAVAILABLE)
    )
    if code != UNAVAILABLE:
        return True
    _write("")
    _write(
        "MISSING: TensorRT cannot be used here, so the demo goes on with ONNX alone (the reason is in the line above)."
    )
    _run("Export the small network as ONNX", EXPORT_SMALL.replace(" --trt", ""), folder)
    return False


def _run(title: str, command: str, folder: Path, allowed: tuple[int, ...] = (0,)) -> int:
    _write(f"\n== {title}\n$ compress {command}")
    code = subprocess.run([sys.executable, "-m", "compress", *shlex.split(command)], cwd=folder, check=False).returncode
    if code not in allowed:
        raise DemoError(f"compress {command} ended with exit code {code}")
    return code


def _summary(folder: Path, engines: bool, verdict: int, seconds: float) -> None:
    report = json.loads((folder / "report.json").read_text())
    rows: list[dict[str, Any]] = [row for row in report["figures"] if row["name"] in SHOWN]
    _write(f"\n== Done in {seconds:.0f} s\n")
    _write(f"{'':<18}{'dense':>14}{'small':>14}   small/dense")
    for row in rows:
        cells = [figure(row[side], row["unit"]) for side in ("before", "after")]
        _write(f"{row['name']:<18}{cells[0]:>14}{cells[1]:>14}   {change(row['before'], row['after'], row['unit'])}")
    conditions = next((row["conditions"] for row in rows if row["name"].startswith("latency")), None)
    _write(f"\naccuracy on digits held out; dense: {EPOCHS} epochs; small: {EPOCHS} more, the dense one as teacher")
    _write(f"latency measured in {conditions}")
    _write(f"gate: {'passed' if verdict == 0 else f'exit code {verdict}, see above'}")
    if engines:
        _write("TensorRT: " + _engines(report["engines"]))
    else:
        _write("TensorRT: MISSING, no engine was compiled (see above)")
    _write(f"report: {folder / 'report.html'} (open it in a browser), {folder / 'report.json'}")


def _engines(engines: list[dict[str, Any]]) -> str:
    return "; ".join(f"sm {engine['capability']} {engine['precision']}: {engine['status']}" for engine in engines)


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo-output")))
