"""From numbers for each tensor to scores that can be ranked between groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import compress
from compress import Group, Program
from compress.axes.analysis import Analysis, analyse
from compress.errors import PlanError
from compress.importance import (
    AGGREGATIONS,
    ISOMORPHIC,
    NORMALISATIONS,
    Criterion,
    Ranking,
    ScoreContext,
    atom_scores,
    normalised,
)
from compress.importance._base import Scores
from compress.loading import create


@pytest.fixture(scope="module")
def resnet() -> Program:
    torch.manual_seed(0)
    return create("models:resnet20")


@pytest.fixture(scope="module")
def analysis(resnet: Program) -> Analysis:
    return analyse(resnet)


class Counting(Criterion):
    """Two places: 0, 1, 2 ... and a constant."""

    name: ClassVar[str] = "counting"

    def places(self, context: ScoreContext, groups: Sequence[Group]) -> dict[str, list[Scores]]:
        return {group.name: [np.arange(group.width, dtype=float), np.full(group.width, 4.0)] for group in groups}


def test_aggregations_put_the_places_of_a_group_together(analysis: Analysis) -> None:
    context, group = ScoreContext(analysis, None, 0), analysis.prunable[0]
    count = np.arange(group.width, dtype=float)
    expected = {"mean": (count + 4) / 2, "sum": count + 4, "max": np.maximum(count, 4), "first": count}
    assert expected.keys() == AGGREGATIONS.keys()
    for how, wanted in expected.items():
        np.testing.assert_array_equal(atom_scores(Counting(), context, [group], how)[group.name], wanted)


vectors = arrays.arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1e6))


@given(vectors, st.sampled_from(sorted(NORMALISATIONS)), st.floats(1e-3, 1e3))
def test_normalisations_keep_the_order_and_all_but_none_forget_the_scale(
    scores: Scores, how: str, factor: float
) -> None:
    found, scaled = NORMALISATIONS[how](scores), NORMALISATIONS[how](scores * factor)
    order = np.argsort(scores, kind="stable")
    assert (np.diff(found[order]) >= 0).all()
    assert np.isfinite(found).all()
    if how != "none" and scores.std() > 1e-6:
        np.testing.assert_allclose(found, scaled, rtol=1e-5, atol=1e-8)


def test_normalisations_are_what_they_are_called() -> None:
    scores = np.array([1.0, 2.0, 6.0])
    assert NORMALISATIONS["mean"](scores).mean() == pytest.approx(1)
    assert NORMALISATIONS["max"](scores).max() == 1
    gaussian = NORMALISATIONS["gaussian"](scores)
    assert (gaussian.mean(), gaussian.std()) == (pytest.approx(0), pytest.approx(1))
    assert NORMALISATIONS["none"](scores) is scores


def test_isomorphic_takes_the_same_share_of_every_structure(analysis: Analysis) -> None:
    """Inner widths of all blocks are one structure and compete; each stage's shared width is one of its own."""
    groups = analysis.prunable
    inner = [group.name for group in groups if group.name.endswith("conv1") and group.name != "conv1"]
    assert len(inner) == 9
    scores = {
        group.name: np.arange(group.width, dtype=float) * (10.0 if group.name in inner else 1e-6) + 1
        for group in groups
    }
    scores[inner[0]] *= 1e-9
    found = normalised(scores, ISOMORPHIC, ScoreContext(analysis, None, 0), groups)
    assert all(score.min() >= 0 and score.max() < 1 for score in found.values())
    for name in (group.name for group in groups if group.name not in inner):
        assert (found[name] < 0.5).mean() == pytest.approx(0.5)
    pooled = np.concatenate([found[name] for name in inner])
    assert (pooled < 0.5).mean() == pytest.approx(0.5, abs=0.02)
    assert found[inner[0]].max() < found[inner[1]].min(), "raw scores are compared within a structure"


def test_heads_and_the_width_inside_them_are_different_structures() -> None:
    analysis = analyse(create("timm:test_vit", input_size=(3, 32, 32)))
    groups = analysis.prunable
    scores = {group.name: np.full(group.width, float(at)) for at, group in enumerate(groups)}
    found = normalised(scores, ISOMORPHIC, ScoreContext(analysis, None, 0), groups)
    lowest = sorted(group.name for group in groups if found[group.name].max() == 0)
    assert lowest == ["blocks.0.attn.qkv", "blocks.0.attn.qkv#2", "blocks.0.mlp.fc1", "patch_embed.proj"]


@pytest.mark.parametrize("how", [*NORMALISATIONS, ISOMORPHIC])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_every_ranking_reaches_the_target(resnet: Program, how: str, aggregation: str) -> None:
    result = compress.prune(resnet, "macs=0.6", normalisation=how, aggregation=aggregation, granularity=2, dry_run=True)
    assert abs(result.report.after.macs / result.report.before.macs - 0.6) <= 0.0105
    assert result.plan.settings["normalisation"] == how
    assert result.plan.settings["aggregation"] == aggregation


def test_lamp_is_compared_as_it_is_unless_the_user_says_otherwise(resnet: Program) -> None:
    assert compress.prune(resnet, criterion="lamp", dry_run=True).plan.settings["normalisation"] == "none"
    told = compress.prune(resnet, criterion="lamp", normalisation="max", dry_run=True)
    assert told.plan.settings["normalisation"] == "max"
    assert compress.prune(resnet, criterion="l2", dry_run=True).plan.settings["normalisation"] == "mean"


def test_unknown_ways_are_refused() -> None:
    with pytest.raises(PlanError, match="there is no aggregation 'median'; choose one of first, max, mean, sum"):
        Ranking(Counting(), aggregation="median")
    with pytest.raises(PlanError, match="there is no normalisation 'z'; choose one of gaussian, isomorphic"):
        Ranking(Counting(), normalisation="z")


def test_scores_that_are_not_finite_name_the_group(analysis: Analysis) -> None:
    class Broken(Counting):
        def places(self, context: ScoreContext, groups: Sequence[Group]) -> dict[str, list[Scores]]:
            return {group.name: [np.full(group.width, np.nan)] for group in groups}

    with pytest.raises(PlanError, match="Broken finds values that are not finite in 'conv1'"):
        atom_scores(Broken(), ScoreContext(analysis, None, 0), analysis.prunable)
