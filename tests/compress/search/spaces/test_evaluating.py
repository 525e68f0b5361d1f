"""Recipes judged on digits: the same recipe has the same error, and what is kept is what counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import compress
import models
from compress import data as data_sets
from compress.axes.analysis import analyse
from compress.data import DataSource
from compress.errors import PlanError
from compress.search.spaces.evaluating import Evaluator, Schedule, accuracy
from compress.search.spaces.space import Space, space_of
from compress.search.spaces.stages import stages_of

SCHEDULE = Schedule(steps=40, batch_size=64, lr=0.05)


@pytest.fixture(scope="module")
def digits() -> DataSource:
    return data_sets.load("digits")


@pytest.fixture(scope="module")
def space() -> Space:
    torch.manual_seed(0)
    return space_of(analyse(compress.capture(models.create("models:digitsnet"), (torch.zeros(1, 1, 8, 8),))))


def test_a_recipe_is_judged_alike_whenever_it_is_and_leaves_the_network_as_it_was(
    space: Space, digits: DataSource
) -> None:
    before = space.analysis.program.fingerprint()
    judge = Evaluator(space, digits, SCHEDULE)
    (row,) = space.sample(0.5, 1, np.random.default_rng(0))
    first = judge.error(row)
    assert judge.error(row) == first
    assert Evaluator(space, digits, SCHEDULE).error(row) == first
    assert space.analysis.program.fingerprint() == before


def test_more_of_the_network_and_more_training_err_less(space: Space, digits: DataSource) -> None:
    judge, idle = Evaluator(space, digits, SCHEDULE), Evaluator(space, digits, Schedule(steps=0))
    (small,) = space.sample(0.1, 1, np.random.default_rng(0))
    assert judge.error(space.sizes.full) < judge.error(small) < idle.error(small)


def test_the_largest_filters_are_inherited(space: Space, digits: DataSource) -> None:
    judge = Evaluator(space, digits, SCHEDULE)
    row = space.sizes.full.copy()
    row[0] -= 1
    group = space.analysis.prunable[0]
    member = next(one for one in group.members if one.tensor.endswith("weight") and one.dim == 0)
    whole, cut = space.analysis.program.tensors[member.tensor], judge.network(row).tensors[member.tensor]
    assert cut.shape[0] == whole.shape[0] - group.cell
    scores = [judge.order[0][at] for at in range(group.width)]
    assert sorted(scores) == list(range(group.width))
    assert int(judge.order[0][-1]) not in {
        at for at in range(group.width) if any(torch.equal(whole[at], kept) for kept in cut)
    }


def test_accuracy_is_a_share_of_the_held_out_samples(space: Space, digits: DataSource) -> None:
    found = accuracy(space.analysis.program.copy(), digits)
    assert 0 <= found <= 0.3  # it was never trained


def test_stages_go_from_the_largest_resolution_to_the_smallest(space: Space) -> None:
    stages = stages_of(space)
    known = [stage for stage in stages if stage >= 0]
    assert known == sorted(known)
    assert set(known) == set(range(max(known) + 1))
    assert stages[-1] == -1  # the classifier sees no positions


@pytest.mark.parametrize("wrong", [{"steps": -1}, {"lr": 0.0}, {"batch_size": 0}])
def test_a_schedule_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(PlanError, match="no sense"):
        Schedule(**wrong)  # type: ignore[arg-type]
