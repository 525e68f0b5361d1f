"""Criteria on a trained network: what they keep must be worth more than what chance keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import compress
from compress import data
from compress.importance import CRITERIA
from compress.loading import create
from compress.training import config_of, evaluate, finetune, reestimate_batch_norm


@pytest.mark.slow
def test_criteria_that_see_data_beat_chance_without_training(tmp_path: Path) -> None:
    digits = data.load("digits")
    torch.manual_seed(0)
    program = finetune(
        create("models:digitsnet"), digits, config_of(epochs=4, lr=0.05), output_dir=tmp_path, quiet=True
    ).program

    def loss(criterion: str, seed: int = 0) -> float:
        source = digits if CRITERIA[criterion].needs_data else None
        small = compress.prune(program, criterion=criterion, granularity=1, data=source, seed=seed).program
        reestimate_batch_norm(small, digits, batches=8)
        return evaluate(small, digits, quiet=True)["loss"]

    by_chance = min(loss("random", seed) for seed in range(5))
    found = {name: loss(name) for name, kind in CRITERIA.items() if kind.needs_data}
    assert len(found) == 4
    assert all(value < by_chance for value in found.values()), (found, by_chance)
