"""Masks under torchrun: every process has the same, and the zeros of one process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import compress
from tests.compress.training.launching import launch

SCRIPT = """
import os, sys
import torch
from torch import nn
import compress
from compress import data
from compress.sparsity.gradual import GradualSparsity
from compress.sparsity.request import SparsityRequest
from compress.training import config_of, finetune

if __name__ == "__main__":
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 10),
    )
    program = compress.capture(net, (torch.zeros(2, 1, 8, 8),))
    config = config_of(epochs=2, lr=0.1, batch_size=128, ema=0.9, device="cpu")
    given = compress.sparsify(program, 0.5, pattern="4x1").program
    kept = finetune(given, data.load("digits"), config, output_dir=f"{sys.argv[1]}/kept").program
    grown = finetune(
        program, data.load("digits"), config, output_dir=f"{sys.argv[1]}/grown",
        sparsity=GradualSparsity(SparsityRequest(0.75, "4x1", "taylor")),
    ).program
    for name, found in (("kept", kept), ("grown", grown)):
        found.save(f"{sys.argv[1]}/{name}-{os.environ['RANK']}.pt2")
"""


@pytest.mark.slow
def test_two_processes_have_the_same_zeros(tmp_path: Path) -> None:
    launch(tmp_path, SCRIPT)
    for name, share in (("kept", 0.5), ("grown", 0.75)):
        ours, theirs = (compress.load(tmp_path / f"{name}-{rank}.pt2") for rank in (0, 1))
        assert ours.fingerprint() == theirs.fingerprint()
        mask = ours.masks["3.weight"]
        assert mask.sparsity == pytest.approx(share, abs=0.01)
        assert mask.pattern == "4x1"
        assert torch.equal(ours.tensors["3.weight"] == 0, ~mask.kept)
