"""Finetuning keeps masks, and lets them grow: with momentum, weight decay, EMA, bfloat16, and after a stop."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

import compress
from compress import Program
from compress.data import DataSource
from compress.errors import InputError, PlanError
from compress.sparsity.gradual import GradualSparsity
from compress.sparsity.request import SparsityRequest
from compress.training import config_of, finetune
from compress.training.trainer import Trainer


def violations(program: Program) -> int:
    return sum(int(program.tensors[name][~mask.kept].count_nonzero()) for name, mask in program.masks.items())


@pytest.mark.parametrize(
    "settings",
    [
        {"ema": 0.9, "lr": 0.2, "weight_decay": 0.01},
        {"optimizer": "adamw", "precision": "bf16", "clip_norm": None},
    ],
)
def test_finetuning_keeps_the_masks_of_its_input(
    network: Program, digits: DataSource, tmp_path: Path, settings: dict[str, Any]
) -> None:
    masked = compress.sparsify(network, 0.6, pattern="2x1", mask=["0"]).program
    result = finetune(masked, digits, config_of(epochs=1, **settings), output_dir=tmp_path, quiet=True)
    assert violations(result.program) == 0
    assert {name: mask.zeros for name, mask in result.program.masks.items()} == {
        name: mask.zeros for name, mask in masked.masks.items()
    }
    assert not torch.equal(result.program.tensors["3.weight"], masked.tensors["3.weight"])


@pytest.mark.parametrize(("criterion", "pattern"), [("magnitude", "2:4"), ("movement", "4x1"), ("learned", "2x1")])
def test_masks_grow_to_the_target(
    network: Program, digits: DataSource, tmp_path: Path, criterion: str, pattern: str
) -> None:
    request = SparsityRequest(None if pattern == "2:4" else 0.75, pattern, criterion, dense=("0",))
    config = config_of(epochs=3, lr=0.05, ema=0.9, batch_size=256)
    result = finetune(network, digits, config, output_dir=tmp_path, quiet=True, sparsity=GradualSparsity(request))
    assert violations(result.program) == 0
    assert result.sparsity is not None
    assert result.sparsity.sparsity == pytest.approx(0.5 if pattern == "2:4" else 0.75, abs=0.01)
    assert {mask.pattern for mask in result.program.masks.values()} == {pattern}
    step = next(step for step in result.program.info.provenance if step.verb == "sparsify")
    assert step.arguments["schedule"] == "cubic"
    assert result.best_epoch >= 2  # the masks are final after 60 % of three epochs
    assert not network.masks


def test_zeros_come_most_at_first_and_never_go(
    network: Program, digits: DataSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, torch.Tensor]] = []
    original = Trainer._mask

    def watched(self: Trainer, step: int) -> None:
        original(self, step)
        seen.append({name: mask.kept.clone() for name, mask in self.masks.items()})
        assert violations(self._program) == 0

    monkeypatch.setattr(Trainer, "_mask", watched)
    gradual = GradualSparsity(SparsityRequest(0.8, dense=("0",)), until=0.5, updates=100)
    config = config_of(epochs=2, batch_size=128, ema=0.9)
    finetune(network, digits, config, output_dir=tmp_path, quiet=True, sparsity=gradual)
    for before, after in itertools.pairwise(seen):
        assert not any((after[name] & ~before[name]).any() for name in after)
    ramp = len(seen) // 2
    for step, masks in enumerate(seen, start=1):
        kept = masks["3.weight"]
        share = 1 - float(kept.float().mean())
        # Zhu and Gupta 2017, eq. 1, from none to 0.8.
        wanted = 0.8 * (1 - (1 - min(1.0, step / ramp)) ** 3)
        assert share == pytest.approx(wanted, abs=0.01)


def test_a_stopped_run_ends_with_the_same_masks_and_weights(
    network: Program, digits: DataSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gradual = GradualSparsity(SparsityRequest(0.8, "2x1", "movement", dense=("0",)))
    config = config_of(epochs=2, batch_size=128, ema=0.9, save_every_steps=3)

    def run(folder: str) -> Program:
        return finetune(network, digits, config, output_dir=tmp_path / folder, quiet=True, sparsity=gradual).program

    whole = run("whole")
    original = Trainer._train_step
    taken: list[int] = []

    def stopping(self: Trainer, *arguments: Any) -> bool:
        if len(taken) == 8:
            raise KeyboardInterrupt
        taken.append(1)
        return original(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_train_step", stopping)
        with pytest.raises(compress.CompressError, match="stopped in epoch 1"):
            run("stopped")
    assert run("stopped").fingerprint() == whole.fingerprint()
    with pytest.raises(InputError, match=r"sparsity\.pattern was '2x1', is now '4x1'"):
        finetune(
            network, digits, config, output_dir=tmp_path / "stopped", quiet=True,
            sparsity=GradualSparsity(SparsityRequest(0.8, "4x1", "movement", dense=("0",))),
        )  # fmt: skip


def test_a_request_that_does_not_fit_stops_before_the_training(
    network: Program, digits: DataSource, tmp_path: Path
) -> None:
    gradual = GradualSparsity(SparsityRequest(0.8, dense=("nothing",)))
    with pytest.raises(PlanError, match="--dense 'nothing' matches no layer"):
        finetune(network, digits, config_of(epochs=1), output_dir=tmp_path, quiet=True, sparsity=gradual)
