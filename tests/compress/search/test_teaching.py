from __future__ import annotations

from dataclasses import replace
from statistics import mean

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

import compress
import models
from compress import data as data_sets
from compress.data import DataSource
from compress.errors import PlanError
from compress.search.encoding import encoding_of
from compress.search.examination import Examination
from compress.search.sorting import Array
from compress.search.supernet import SuperNet
from compress.search.teaching import Lessons, Teacher, held_out_loss, judge
from compress.training.batch_norm import reestimate_batch_norm
from compress.training.losses import CrossEntropy


@pytest.fixture(scope="module")
def digits() -> DataSource:
    return data_sets.load("digits")


def _supernet(seed: int = 0, lowest: float = 0.3) -> SuperNet:
    torch.manual_seed(seed)
    program = compress.capture(models.create("models:digitsnet"), (torch.zeros(1, 1, 8, 8),))
    return SuperNet(encoding_of(program, lowest_width=lowest, lowest_density=lowest))


LESSONS = Lessons(steps=60, batch_size=64)


def test_the_shared_weights_learn_and_a_killed_training_goes_on_bit_for_bit(digits: DataSource) -> None:
    whole = _supernet()
    losses = Teacher(whole, digits, LESSONS).learn()
    assert mean(losses[-10:]) < 0.7 * mean(losses[:10])
    parts = _supernet()
    first = Teacher(parts, digits, LESSONS)
    begun = first.learn(until=23)
    after = _supernet(seed=5)
    second = Teacher(after, digits, LESSONS)
    second.restore(first.state())
    assert begun + second.learn() == losses
    assert all(torch.equal(after.program.tensors[name], value) for name, value in whole.program.tensors.items())


def test_a_candidate_is_judged_with_statistics_of_its_own(digits: DataSource) -> None:
    supernet = _supernet()
    Teacher(supernet, digits, LESSONS).learn()
    small = supernet.encoding.decode(supernet.encoding.grid.low)
    whole = supernet.encoding.decode(np.ones(supernet.encoding.grid.low.size))
    assert judge(supernet, whole, digits) < judge(supernet, whole, digits, statistics=0)
    assert judge(supernet, whole, digits) < judge(supernet, small, digits)
    assert judge(supernet, small, digits) == judge(supernet, small, digits)


def test_training_that_makes_no_sense_is_refused(digits: DataSource) -> None:
    for wrong in ({"steps": 0}, {"lr": 0.0}, {"channels_first": 2.0}, {"batch_size": 0}):
        with pytest.raises(PlanError, match="makes no sense"):
            replace(LESSONS, **wrong)
    with pytest.raises(PlanError, match="learning rate"):
        Teacher(_supernet(), digits, replace(LESSONS, lr=1e9)).learn()


def _alone(fresh: SuperNet, genes: Array, digits: DataSource, seed: int) -> float:
    """The loss of the candidate trained by itself, from the random weights of ``fresh``."""
    program = fresh.candidate(fresh.encoding.decode(genes))
    module = program.module(training=True).train()
    steps = 120
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9, weight_decay=4e-5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    per_epoch = digits.training.steps(64)
    for epoch in range(-(-steps // per_epoch)):
        for batch in digits.training.epoch(64, seed=seed, epoch=epoch):
            optimizer.zero_grad()
            CrossEntropy()(module(*batch.inputs), batch.target).backward()
            optimizer.step()
            schedule.step()
    reestimate_batch_norm(program, digits, batches=10, seed=seed)
    return held_out_loss(program, digits)


@pytest.mark.slow
def test_shared_weights_rank_candidates_as_training_alone_does(digits: DataSource) -> None:
    ranked: list[float] = []
    without: list[float] = []
    for seed in range(3):
        supernet, fresh = _supernet(seed, lowest=0.1), _supernet(seed + 100, lowest=0.1)
        Teacher(supernet, digits, Lessons(steps=500, batch_size=64, seed=seed)).learn()
        random = np.random.default_rng(seed)
        genes = [supernet.encoding.grid.sample(random) for _ in range(16)]
        candidates = [supernet.encoding.decode(point) for point in genes]
        alone = [_alone(fresh, point, digits, seed) for point in genes]
        for found, statistics in ((ranked, 10), (without, 0)):
            judged = Examination(supernet, digits, statistics=statistics)
            found.append(kendalltau([judged.loss(one) for one in candidates], alone).statistic)
    assert mean(ranked) > 0.3, (ranked, without)
    assert mean(ranked) >= mean(without), (ranked, without)
