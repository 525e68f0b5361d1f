"""JCW-11: a latency model measured on this machine, for channels alone, ranks networks that it has not seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from compress.cli.console import Console
from compress.pipeline.calibration import CalibrationRequest, Plan, run
from compress.pipeline.calibration_bench import Conditions
from compress.pipeline.loading import Loading


@pytest.mark.slow
def test_predicted_latencies_rank_twenty_random_networks_as_measured(tmp_path: Path) -> None:
    request = CalibrationRequest(
        Path("models:mobilenetv1"),
        Plan(configurations=32, held_out=20),
        Conditions(seconds=0.5),
        Loading(input_size=(3, 128, 128)),
        output=tmp_path / "cpu.latency.json",
    )
    found = run(request, Console(as_json=True)).model.held_out
    print(f"median error {found.error:.1%}, rank correlation {found.spearman:.3f}")  # noqa: T201 - the figure asked for
    assert found.configurations == 20
    assert found.spearman >= 0.9
