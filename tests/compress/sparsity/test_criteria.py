"""Criteria on a trained network: zeros chosen by them hurt less than zeros chosen by chance."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

import compress
from compress import Program, data
from compress.data import DataSource
from compress.errors import PlanError
from compress.sparsity.criteria import CRITERIA
from compress.training import config_of, evaluate, finetune, reestimate_batch_norm


@pytest.fixture(scope="module")
def digits() -> DataSource:
    return data.load("digits")


@pytest.fixture(scope="module")
def trained(digitsnet: Program, digits: DataSource, tmp_path_factory: pytest.TempPathFactory) -> Program:
    config = config_of(epochs=4, lr=0.05)
    return finetune(digitsnet, digits, config, output_dir=tmp_path_factory.mktemp("run"), quiet=True).program


def top1(program: Program, digits: DataSource) -> float:
    reestimate_batch_norm(program, digits, batches=6)
    return evaluate(program, digits, quiet=True)["top1"]


def by_chance(program: Program, share: float) -> Program:
    """The same number of zeros in the same layers, anywhere."""
    result = compress.sparsify(program, share)
    generator = torch.Generator().manual_seed(0)
    masks = {}
    for name, mask in result.masks.items():
        order = torch.randperm(mask.kept.numel(), generator=generator)
        masks[name] = compress.Mask(mask.kept.reshape(-1)[order].reshape(mask.kept.shape), "unstructured")
    program = program.copy()
    program.set_masks(masks)
    return program


@pytest.mark.parametrize("name", ["magnitude", "taylor", "learned"])
def test_a_criterion_beats_chance(name: str, trained: Program, digits: DataSource) -> None:
    chance = top1(by_chance(trained, 0.85), digits)
    found = compress.sparsify(trained, 0.85, criterion=name, data=digits)
    assert top1(found.program, digits) > chance + 0.1
    assert found.report.sparsity == pytest.approx(0.85, abs=1e-4)


@pytest.mark.parametrize("name", sorted(CRITERIA))
def test_the_same_seed_gives_the_same_masks_and_the_weights_stay(
    name: str, trained: Program, digits: DataSource
) -> None:
    before = trained.fingerprint()
    one, two = (
        compress.sparsify(trained, 0.8, pattern="4x1", criterion=name, data=digits, seed=3).program for _ in range(2)
    )
    assert one.fingerprint() == two.fingerprint()
    assert trained.fingerprint() == before
    for weight, mask in one.masks.items():
        assert torch.equal(one.tensors[weight][mask.kept], trained.tensors[weight][mask.kept])


@pytest.fixture(scope="module")
def linear() -> Program:
    """One layer (2, 4) between fixed ones, whose gradients can be written down."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 2, bias=False), nn.Linear(2, 2, bias=False))
    return compress.capture(net, (torch.randn(2, 4),))


def batches(count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [(torch.randn(8, 4, generator=generator), torch.randint(2, (8,), generator=generator)) for _ in range(count)]


def products(program: Program, seen: list[tuple[torch.Tensor, torch.Tensor]]) -> Iterator[torch.Tensor]:
    module, weight = program.module(), program.tensors["1.weight"]
    for inputs, target in seen:
        loss = nn.functional.cross_entropy(module(inputs), target)
        yield weight.detach() * torch.autograd.grad(loss, weight)[0]


def test_taylor_is_the_mean_of_absolute_sums_over_units(linear: Program) -> None:
    seen = batches(3)
    blocks = torch.stack([product.sum(dim=0).abs() for product in products(linear, seen)]).mean(dim=0)
    result = compress.sparsify(linear, 0.5, pattern="2x1", criterion="taylor", dense=["0"], data=seen)
    wanted = torch.zeros(4, dtype=torch.bool)
    wanted[blocks.topk(2).indices] = True
    assert torch.equal(result.masks["1.weight"].kept, wanted.expand(2, 4))


def test_movement_keeps_what_grows(linear: Program) -> None:
    seen = batches(1)
    (product,) = products(linear, seen)
    kept = compress.sparsify(linear, 0.5, criterion="movement", dense=["0"], data=seen).masks["1.weight"].kept
    assert float((-product)[kept].min()) >= float((-product)[~kept].max())


def test_data_that_give_no_batch_or_no_number_are_refused(linear: Program) -> None:
    with pytest.raises(PlanError, match="criterion taylor was given no batch"):
        compress.sparsify(linear, 0.5, criterion="taylor", data=[])
    wrong = [(torch.full((2, 4), torch.nan), torch.zeros(2, dtype=torch.long))]
    with pytest.raises(PlanError, match="gradients that are not finite"):
        compress.sparsify(linear, 0.5, criterion="learned", data=wrong)
