"""Pruned members of a compact family against the members that are as small, on digits: an experiment, no more.

The figures are in ``docs/methods.md``. What was published is about ImageNet, and is not reproduced by this.
"""

# ruff: noqa: T201 - the figures are what is asked for
from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from compress import Program, data
from compress.cli.entry import run
from compress.loading import create
from compress.search.hypervolume import hypervolume
from compress.sparsity.gradual import GradualSparsity
from compress.sparsity.request import SparsityRequest
from compress.training import config_of, finetune

MEMBERS, SEEDS, EPOCHS = "abcd", 5, 12

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def test_pruned_members_are_no_worse_than_the_next_smaller_ones(tmp_path: Path) -> None:
    """FB-6: at every budget, and in the area that the front dominates; mean of five seeds."""
    digits = data.load("digits")
    native = np.zeros((SEEDS, len(MEMBERS)))
    pruned = np.zeros((SEEDS, len(MEMBERS) - 1))
    macs = [create(f"models:fbnetv3_digits_{member}").count().macs for member in MEMBERS]

    def trained(
        program: Program, seed: int, lr: float, sparsity: GradualSparsity | None = None
    ) -> tuple[Program, float]:
        config = config_of(epochs=EPOCHS, batch_size=64, lr=lr, seed=seed)
        folder = tmp_path / f"{time.monotonic_ns()}"
        found = finetune(program, digits, config, output_dir=folder, quiet=True, sparsity=sparsity)
        return found.program, float(found.metrics["top1"])

    for seed in range(SEEDS):
        parents = []
        for at, member in enumerate(MEMBERS):
            torch.manual_seed(seed)
            parent, native[seed, at] = trained(create(f"models:fbnetv3_digits_{member}"), seed, 0.1)
            parents.append(parent)
        for at, (small, large) in enumerate(pairwise(macs)):
            request = SparsityRequest(f"macs={small / large}")
            program, pruned[seed, at] = trained(parents[at + 1], seed, 0.05, GradualSparsity(request))
            count = program.count()
            assert count.nonzero_macs == pytest.approx(small, rel=0.005)
    shares = np.array(macs) / macs[-1]
    own = [hypervolume(np.stack([1 - native[seed], shares], 1), (0.2, 1.01)) for seed in range(SEEDS)]
    both = [
        hypervolume(np.stack([np.r_[1 - native[seed], 1 - pruned[seed]], np.r_[shares, shares[:-1]]], 1), (0.2, 1.01))
        for seed in range(SEEDS)
    ]
    for at, member in enumerate(MEMBERS[:-1]):
        print(
            f"{macs[at]} MACs: {member} {100 * native[:, at].mean():.2f} %, the next larger one pruned to it "
            f"{100 * pruned[:, at].mean():.2f} %"
        )
    print(f"hypervolume: {np.mean(own):.4f} of the members, {np.mean(both):.4f} with the pruned ones")
    assert (pruned.mean(axis=0) >= native[:, :-1].mean(axis=0) - 0.005).all()
    assert np.mean(both) >= np.mean(own)


def test_pruning_costs_a_quarter_of_a_search_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FB-7: CPU time of pruning with finetuning, over that of the tool's own search for the same MACs; all defaults."""
    monkeypatch.chdir(tmp_path)
    create("models:fbnetv3_digits_d").save(tmp_path / "net.pt2")
    train = ["--data", "digits", "--epochs", "10"]

    def seconds(*arguments: str) -> float:
        begun = time.process_time()
        assert run(list(arguments)) == 0
        return time.process_time() - begun

    pruning = seconds("prune", "net.pt2", "--sparsity", "macs=0.5", *train, "-o", "small.pt2")
    searching = seconds("search", "net.pt2", "--objective", "macs", "--pick", "macs=0.5", *train, "-o", "found")
    print(f"pruning {pruning:.0f} s, searching {searching:.0f} s of CPU time: {pruning / searching:.3f}")
    assert pruning <= searching / 4
