from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

import compress
import models
from compress import data as data_sets
from compress.data import DataSource
from compress.data.source import Batch, Split
from compress.search import examination
from compress.search.encoding import encoding_of
from compress.search.examination import Examination
from compress.search.supernet import SuperNet
from compress.search.teaching import held_out_loss
from compress.training.batch_norm import reestimate_batch_norm


@pytest.fixture(scope="module")
def digits() -> DataSource:
    return data_sets.load("digits")


@pytest.fixture(scope="module")
def supernet() -> SuperNet:
    torch.manual_seed(0)
    program = compress.capture(models.create("models:digitsnet"), (torch.zeros(1, 1, 8, 8),))
    return SuperNet(encoding_of(program, lowest_width=0.3, lowest_density=0.3))


def test_the_loss_is_that_of_the_network_made_of_it_with_statistics_estimated_anew(
    supernet: SuperNet, digits: DataSource
) -> None:
    judged = Examination(supernet, digits, statistics=4, batch_size=64, seed=1)
    random = np.random.default_rng(0)
    for _ in range(3):
        candidate = supernet.encoding.decode(supernet.encoding.grid.sample(random))
        program = supernet.candidate(candidate)
        reestimate_batch_norm(program, digits, batches=4, batch_size=64, seed=1)
        assert judged.loss(candidate) == pytest.approx(held_out_loss(program, digits), rel=1e-4)


def test_fewer_samples_are_a_choice_of_all_and_memory_makes_no_difference(
    supernet: SuperNet, digits: DataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = supernet.encoding.decode(supernet.encoding.grid.low)
    whole = Examination(supernet, digits, statistics=2, batch_size=50)
    few = Examination(supernet, digits, statistics=2, batch_size=50, samples=120)
    assert few.loss(candidate) != whole.loss(candidate)
    monkeypatch.setattr(examination, "MEMORY", 0)
    again = Examination(supernet, digits, statistics=2, batch_size=50, samples=120)
    assert again.loss(candidate) == few.loss(candidate)


def test_several_judged_by_one_reading_get_what_each_gets_alone(
    supernet: SuperNet, digits: DataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(1)
    grid = supernet.encoding.grid
    some = [supernet.encoding.decode(grid.sample(random)) for _ in range(4)]
    kept = Examination(supernet, digits, statistics=2, batch_size=50, samples=120)
    assert kept.is_kept
    alone = [kept.loss(candidate) for candidate in some]
    assert len(set(alone)) == len(some)
    assert kept.losses(some) == alone

    monkeypatch.setattr(examination, "MEMORY", 0)
    read_anew = Examination(supernet, digits, statistics=2, batch_size=50, samples=120)
    assert not read_anew.is_kept
    readings: list[object] = []
    split = type(digits.validation)
    spread = split.spread

    def counted(self: Split, *arguments: int) -> Iterator[Batch]:
        readings.append(arguments)
        return spread(self, *arguments)

    monkeypatch.setattr(split, "spread", counted)
    size = sum(tensor.numel() * tensor.element_size() for tensor in supernet.program.tensors.values())
    monkeypatch.setattr(examination, "MEMORY", 2 * size)
    assert read_anew.losses(some) == alone
    assert len(readings) == 2
