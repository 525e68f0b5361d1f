"""Recipes at exact costs, their ratios, and the refined space, on a small residual network."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import compress
import exporters
import models
from compress.axes.analysis import Analysis, analyse
from compress.axes.surgery import remove
from compress.errors import PlanError
from compress.loading import create
from compress.plan import Kept, Plan
from compress.search.spaces.ratios import best_band, buckets, held_out, log_ratios
from compress.search.spaces.refining import Refined
from compress.search.spaces.space import TOLERANCE, Space, space_of
from deploy.judging import macs

REGIMES = (0.75, 0.5, 0.25)


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    network = models.create("models:resnet20").eval()
    return analyse(compress.capture(network, (torch.zeros(1, 3, 32, 32),)))


@pytest.fixture(scope="module")
def space(analysis: Analysis) -> Space:
    return space_of(analysis)


@pytest.mark.parametrize("share", REGIMES)
def test_recipes_cost_what_their_regime_says_and_differ(space: Space, share: float) -> None:
    """NPS-1, NPS-7."""
    rows = space.sample(share, 64, np.random.default_rng(0))
    assert (np.abs(space.macs(rows) - share) <= TOLERANCE).all()
    assert len({row.tobytes() for row in rows}) == 64
    assert (rows == space.sample(share, 64, np.random.default_rng(0))).all()
    for row in rows:
        assert all(width in rungs for width, rungs in zip(row, space.rungs, strict=True))


@pytest.mark.parametrize("share", REGIMES)
def test_formulas_count_what_the_cut_network_has(
    analysis: Analysis, space: Space, share: float, tmp_path: Path
) -> None:
    """NPS-1: in the cut network, and once in the exported file, which has its batch norms folded."""
    (row,) = space.sample(share, 1, np.random.default_rng(1))
    order = [np.arange(group.width) for group in analysis.prunable]
    plan = space.plan(row, order, {"method": "spaces"})
    cut = remove(analysis, plan.validated(analysis))
    count = cut.count()
    assert count.macs == round(float(space.sizes.cost("macs", row)[0]))
    assert count.params == round(float(space.sizes.cost("params", row)[0]))
    if share == 0.5:
        exporters.to_onnx(cut, tmp_path / "cut.onnx")
        graph = onnx.load(tmp_path / "cut.onnx").graph
        assert macs.count(tmp_path / "cut.onnx", {graph.input[0].name: "float32[1, 3, 32, 32]"}) == count.macs
        weights = [tensor for tensor in graph.initializer if len(tensor.dims) > 1]
        stored = sum(tensor.numel() for name, tensor in cut.tensors.items() if tensor.ndim > 1)
        assert sum(math.prod(tensor.dims) for tensor in weights) == stored


def test_scaling_all_widths_keeps_the_ratio_and_early_or_late_cuts_move_it(analysis: Analysis, space: Space) -> None:
    """NPS-2."""
    full = space.sizes.full
    uniform = log_ratios(space, np.array([full * 3 // 4, full // 2]), "network")
    dense = log_ratios(space, full[None], "network")[0, 0]
    assert np.exp(np.abs(uniform[:, 0] - dense)).max() < 1.06  # the first and last layers do not shrink twice
    inner = []
    for measure in ("macs", "params"):
        names, found = space.sizes.by_layer(measure, np.array([full, full * 3 // 4, full // 2]))
        inner.append(found[:, [at for at, name in enumerate(names) if name.startswith("layer")]].sum(axis=1))
    interior = inner[0] / inner[1]
    assert 0 < np.abs(interior / interior[0] - 1).max() < 0.03
    early, late = full.copy(), full.copy()
    early[: len(full) // 3] //= 2
    late[-len(full) // 3 :] //= 2
    moved = log_ratios(space, np.array([early, late]), "network")[:, 0]
    assert moved[0] < dense < moved[1]


def test_ratios_of_stages_are_those_of_their_layers(space: Space) -> None:
    names, macs = space.sizes.by_layer("macs", space.sizes.full)
    owned, params = space.sizes.by_layer("params", space.sizes.full)
    stages = [int(name[5]) - 1 if name.startswith("layer") else -1 for name in names]
    found = log_ratios(space, space.sizes.full[None], "stages", stages)[0]
    for stage in range(3):
        mine = [index for index, name in enumerate(names) if name.startswith(f"layer{stage + 1}.")]
        weights = [index for index, name in enumerate(owned) if name in {names[one] for one in mine}]
        assert np.exp(found[stage]) == pytest.approx(macs[0, mine].sum() / params[0, weights].sum())
    assert found[0] > found[1] > found[2]


def test_a_regime_below_the_smallest_recipe_is_refused_with_the_floor(analysis: Analysis) -> None:
    narrow = space_of(analysis, least=0.9)
    with pytest.raises(PlanError, match=r"25% of the MACs: the smallest has 8\d\.\d%"):
        narrow.sample(0.25, 1, np.random.default_rng(0))
    for share in (0.0, 1.5):
        with pytest.raises(PlanError, match="regime"):
            narrow.sample(share, 1, np.random.default_rng(0))


def test_a_space_of_one_recipe_or_of_nonsense_is_refused(analysis: Analysis) -> None:
    with pytest.raises(PlanError, match="nothing but the dense network"):
        space_of(analysis, ignore=range(len(analysis.prunable)))
    for wrong in ({"least": 0.0}, {"granularity": 0}):
        with pytest.raises(PlanError):
            space_of(analysis, **wrong)


def test_buckets_hold_everyone_once_and_the_best_is_found(space: Space) -> None:
    random = np.random.default_rng(0)
    rows = space.sample(0.5, 60, random)
    ratios = log_ratios(space, rows, "network")
    wanted = np.quantile(ratios, 0.7)
    errors = 0.1 + np.abs(ratios[:, 0] - wanted) + random.normal(0, 1e-3, 60)
    found = buckets(ratios[:, 0], errors)
    assert sorted(one for bucket in found for one in bucket.members) == list(range(60))
    assert {len(bucket.members) for bucket in found} == {12}
    band = best_band(ratios, errors)
    assert band.low[0] < wanted < band.high[0]
    difference = held_out(ratios, errors, band)
    assert difference is not None
    assert difference.high < 0


def test_the_refined_space_lies_in_the_band_and_in_the_regime(space: Space) -> None:
    rows = space.sample(0.5, 40, np.random.default_rng(0))
    ratios = log_ratios(space, rows, "network")
    band = best_band(ratios, np.abs(ratios[:, 0] - ratios[0, 0]))
    refined = Refined(space, band)
    drawn = refined.sample(0.5, 16, np.random.default_rng(1))
    assert band.holds(log_ratios(space, drawn, "network")).all()
    assert (np.abs(space.macs(drawn) - 0.5) <= TOLERANCE).all()
    empty = Refined(space, type(band)(band.high + 9, band.high + 10))
    with pytest.raises(PlanError, match="only 0 of 4"):
        empty.sample(0.5, 4, np.random.default_rng(1))


def test_a_plan_keeps_the_most_important(analysis: Analysis, space: Space) -> None:
    order = [np.arange(group.width)[::-1] for group in analysis.prunable]
    row = space.sizes.full.copy()
    row[0] = 3
    plan = space.plan(row, order, {})
    group = analysis.prunable[0]
    assert plan == Plan({group.name: Kept(group.width, tuple(range(group.width))[-3:], group.producers)}, settings={})


@pytest.mark.parametrize("reference", ["models:resnet20", "models:fbnetv3_mini_a"])
def test_slicing_away_what_is_zero_changes_nothing(reference: str) -> None:
    """NPS-3: weights, factors and shifts of batch norm that are zero, in residual and depthwise groups, too."""
    torch.manual_seed(0)
    program = create(reference)
    inputs = program.example_inputs(batch=4, seed=0)
    with torch.no_grad():
        for name, tensor in program.tensors.items():
            if name.endswith("running_mean") or (tensor.ndim == 1 and not name.endswith("running_var")):
                tensor.normal_()
        before = program.module()(*inputs)
        found = analyse(program)
        random = np.random.default_rng(0)
        kept = {}
        for group in found.prunable:
            gone = random.choice(group.width, max(1, group.width // 3), replace=False)
            for member in group.members:
                if member.produced and not member.tensor.endswith(("running_mean", "running_var")):
                    at = torch.from_numpy(member.indices[gone].reshape(-1))
                    program.tensors[member.tensor].index_fill_(member.dim, at, 0.0)
            stay = tuple(sorted({*range(group.width)} - {int(one) for one in gone}))
            kept[group.name] = Kept(group.width, stay, group.producers)
        masked = program.module()(*inputs)
        cut = remove(analyse(program), Plan(kept, settings={}).validated(found)).module()(*inputs)
    assert not torch.allclose(masked, before, rtol=0.01)
    assert float((cut - masked).abs().max()) <= 1e-5 * float(masked.abs().max())
