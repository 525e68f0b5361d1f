"""ADMM within finetuning: the densities are met, and a run that was stopped ends with the same weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import compress
import models
from compress import data as data_sets
from compress.data import DataSource
from compress.errors import PlanError
from compress.program import Program
from compress.sparsity.admm import RHO
from compress.sparsity.drawing import AdmmSparsity
from compress.sparsity.layers import maskable_layers
from compress.training import config_of, finetune
from compress.training.finetuning import FinetuneResult
from compress.training.trainer import Trainer

CONFIG = config_of(epochs=4, batch_size=128, lr=0.05, save_every_steps=3)


@pytest.fixture(scope="module")
def digits() -> DataSource:
    return data_sets.load("digits")


@pytest.fixture(scope="module")
def program() -> Program:
    torch.manual_seed(0)
    return compress.capture(models.create("models:digitsnet"), (torch.zeros(1, 1, 8, 8),))


@pytest.fixture(scope="module")
def wanted(program: Program) -> AdmmSparsity:
    layers = [layer.weight for layer in maskable_layers(program) if layer.part is None]
    return AdmmSparsity({layers[0]: 0.5, layers[1]: 0.25, layers[2]: 1.0}, rho=0.05, begins=0.5, until=0.75)


def _run(program: Program, digits: DataSource, wanted: AdmmSparsity, folder: Path) -> FinetuneResult:
    return finetune(program, digits, CONFIG, output_dir=folder, quiet=True, sparsity=wanted)


def test_the_densities_are_met_in_the_pattern(
    program: Program, digits: DataSource, wanted: AdmmSparsity, tmp_path: Path
) -> None:
    result = _run(program, digits, wanted, tmp_path)
    masks = result.program.masks
    shares = {name: 1 - mask.sparsity for name, mask in masks.items()}
    expected = {name: share for name, share in wanted.densities.items() if share < 1}
    assert shares == pytest.approx(expected, abs=0.01)
    assert {mask.pattern for mask in masks.values()} == {"4x1"}
    assert all(not result.program.tensors[name][~mask.kept].any() for name, mask in masks.items())
    assert result.sparsity is not None
    assert result.sparsity.after.nonzero_macs < result.sparsity.before.nonzero_macs
    assert result.best_epoch >= 3  # with all the zeros, from three quarters of the epochs on
    assert result.program.info.provenance[-2].verb == "sparsify"


@pytest.mark.parametrize("epoch", [2, 3])
def test_a_stopped_run_ends_with_the_same_weights(
    program: Program, digits: DataSource, wanted: AdmmSparsity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    epoch: int,
) -> None:  # fmt: skip
    whole = _run(program, digits, wanted, tmp_path / "whole")
    step = Trainer._train_step

    def stop_once(self: Trainer, *args: object) -> bool:
        if (self._epoch, self._step) == (epoch, 5):
            monkeypatch.setattr(Trainer, "_train_step", step)
            raise KeyboardInterrupt
        return step(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "_train_step", stop_once)
    with pytest.raises(compress.errors.CompressError, match="run the same command again"):
        _run(program, digits, wanted, tmp_path / "parts")
    parts = _run(program, digits, wanted, tmp_path / "parts")
    assert parts.program.fingerprint() == whole.program.fingerprint()


def test_weights_are_drawn_towards_their_densities_before_they_are_masked(
    program: Program, digits: DataSource, tmp_path: Path
) -> None:
    """What is masked at the end has been made small by then: with hardly any pull it is not."""
    layer = next(layer.weight for layer in maskable_layers(program) if layer.part is None)
    lost = {}
    for rho in (1e-9, 0.5):
        wanted = AdmmSparsity({layer: 0.4}, rho=rho, begins=0.25, until=1.0)
        result = finetune(program, digits, CONFIG, output_dir=tmp_path / str(rho), quiet=True, sparsity=wanted)
        lost[rho] = float(result.metrics["loss"])
    assert lost[0.5] < lost[1e-9]


def test_a_short_training_loses_less_by_default_than_by_the_shares_and_strength_of_the_paper(
    program: Program, digits: DataSource, tmp_path: Path
) -> None:
    """Few steps at the paper's strength leave the weights where they were, and what is left cannot mend the cut."""
    layers = [layer.weight for layer in maskable_layers(program) if layer.part is None]
    dense = finetune(program, digits, CONFIG, output_dir=tmp_path / "dense", quiet=True).program
    densities = dict.fromkeys(layers, 0.2)
    ways = {
        "paper": AdmmSparsity(densities, rho=RHO, begins=0.5, until=0.75),
        "default": AdmmSparsity(densities, rate=0.5),
    }
    lost = {
        name: finetune(dense, digits, CONFIG, output_dir=tmp_path / name, quiet=True, sparsity=way).metrics["loss"]
        for name, way in ways.items()
    }
    assert lost["default"] < 0.5 * lost["paper"]
    assert AdmmSparsity({}, rate=0.5).strength(10**6) == RHO
    assert AdmmSparsity({}, rate=0.5).strength(1) * 0.5 <= 0.5


def test_stretches_and_weights_that_make_no_sense_are_refused(program: Program) -> None:
    with pytest.raises(PlanError, match="cannot be drawn"):
        AdmmSparsity({}, begins=0.8, until=0.5)
    with pytest.raises(PlanError, match="learning rate"):
        AdmmSparsity({}, rate=0.0)
    with pytest.raises(PlanError, match="no weight that can be masked"):
        AdmmSparsity({"nothing": 0.5}).begin(program.copy(), 2, 2)
    with pytest.raises(PlanError, match="density"):
        AdmmSparsity({maskable_layers(program)[1].weight: 0.0}).begin(program.copy(), 2, 2)
