"""Two processes under torchrun agree with one at the same global batch."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
import torch

from compress import Program
from compress.data import DataSource
from compress.errors import InputError
from compress.training import config_of, finetune
from tests.compress.training.launching import launch

SCRIPT = """
import json, os, sys
import torch
from torch import nn
import compress
from compress import data
from compress.training import config_of, finetune


def run(folder, norm):
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 8, 3, padding=1)] + ([nn.BatchNorm2d(8)] if norm else []) + [nn.ReLU()]
    net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 10))
    program = compress.capture(net, (torch.zeros(2, 1, 8, 8),))
    config = config_of(epochs=2, lr=0.1, batch_size=64, ema=0.9, clip_norm=1.0, device="cpu")
    return finetune(program, data.load("digits"), config, output_dir=folder)


if __name__ == "__main__":
    for norm in (0, 1):
        result = run(f"{sys.argv[1]}/{norm}", norm)
        rank = os.environ["RANK"]
        torch.save(result.program.state_dict(), f"{sys.argv[1]}/weights{norm}-{rank}.pt")
        with open(f"{sys.argv[1]}/metrics{norm}-{rank}.json", "w") as file:
            json.dump(result.metrics, file)
"""


def test_two_processes_agree_with_one(tmp_path: Path) -> None:
    script = launch(tmp_path, SCRIPT)

    alone = runpy.run_path(str(script))["run"](tmp_path / "alone", 0)
    shared = torch.load(tmp_path / "weights0-0.pt", weights_only=True)
    metrics = json.loads((tmp_path / "metrics0-0.json").read_text())
    for name, value in alone.program.state_dict().items():
        torch.testing.assert_close(shared[name], value, rtol=1e-4, atol=1e-5, msg=name)
    assert metrics["samples"] == alone.metrics["samples"] == 359
    assert metrics == pytest.approx(alone.metrics, abs=1e-4)

    # With batch norm the processes agree with each other: the first one's statistics are everybody's.
    for norm in (0, 1):
        ours, theirs = (torch.load(tmp_path / f"weights{norm}-{rank}.pt", weights_only=True) for rank in (0, 1))
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        assert json.loads((tmp_path / f"metrics{norm}-1.json").read_text())["samples"] == 359


def test_a_run_in_another_precision_may_follow_in_the_same_process(
    network: Program, digits: DataSource, tmp_path: Path
) -> None:
    for precision in ("bf16", "no", "bf16"):
        config = config_of(epochs=1, precision=precision)
        finetune(network, digits, config, output_dir=tmp_path / precision, resume=False)


def test_a_batch_that_cannot_be_shared_is_refused(
    network: Program, digits: DataSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from accelerate import Accelerator

    monkeypatch.setattr(Accelerator, "num_processes", 3)
    with pytest.raises(InputError, match="a batch of 128 cannot be shared evenly by 3 processes"):
        finetune(network, digits, config_of(), output_dir=tmp_path)
