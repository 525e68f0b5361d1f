"""``make demo``, whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.report import read_json

ROOT = Path(__file__).parents[3]


@pytest.mark.slow
def test_the_demo_runs_twice_and_ends_with_its_table(tmp_path: Path) -> None:
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "compress.pipeline.demo", str(tmp_path)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        table = done.stdout.split("== Done in")[1]
        for name in ("MACs", "parameters", "file size", "accuracy (top1)", "latency p50", "TensorRT", "report.html"):
            assert name in table
    rows = {row.name: row for row in read_json(tmp_path / "report.json").figures}
    before, after = rows["MACs"].before, rows["MACs"].after
    assert before is not None
    assert after is not None
    assert abs(after / before - 0.5) < 0.01
    accuracy = rows["accuracy (top1)"]
    assert accuracy.before is not None
    assert accuracy.after is not None
    assert min(accuracy.before, accuracy.after) > 0.95
