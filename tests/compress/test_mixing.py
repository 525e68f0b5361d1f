"""Several targets at once: which groups give way, and how far importance still decides."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from compress.allocation import TOLERANCE, allocate, parse_targets
from tests.compress.allocation_models import Chain, chain_groups

COUNT, WIDTH = 8, 96
EARLY, LATE = slice(0, 3), slice(5, 8)


@pytest.fixture(scope="module")
def model() -> Chain:
    """As in most networks: MACs lie early, parameters late."""
    slope = np.geomspace(8.0, 0.125, COUNT + 1)
    return Chain(
        [WIDTH] * COUNT, {"macs": slope.tolist(), "params": slope[::-1].tolist(), "memory": [1.0] * (COUNT + 1)}
    )


def shares(
    model: Chain, targets: str, scope: str, scores: dict[str, NDArray[np.float64]] | None = None, **fixed: float
) -> NDArray[np.float64]:
    """Kept share of every group; all targets are met."""
    generator = np.random.default_rng(5)
    groups = chain_groups(model.full.tolist())
    found = allocate(
        model,
        groups,
        scores or {group.name: generator.gamma(2.0, 0.5, group.width) for group in groups},
        parse_targets(targets),
        scope=scope,
        granularity=1,
        fixed_ratios=fixed,
    )
    assert not found.shortfalls, found.note
    return np.asarray(found.widths / model.full, np.float64)


@pytest.mark.parametrize("scope", ["global", "local"])
def test_the_groups_that_the_tighter_target_pays_for_give_way(model: Chain, scope: str) -> None:
    fewer_params, fewer_macs = (shares(model, f"macs={a},params={b}", scope) for a, b in ((0.6, 0.4), (0.4, 0.6)))
    assert fewer_params[LATE].mean() < fewer_params[EARLY].mean() - 0.1
    assert fewer_macs[EARLY].mean() < fewer_macs[LATE].mean() - 0.1


def test_where_the_even_choice_meets_all_targets_it_is_taken(model: Chain) -> None:
    even = np.full(COUNT, WIDTH // 2)
    wanted = ",".join(f"{measure}={float(model.relative(measure, even)[0])}" for measure in ("macs", "params", "ratio"))
    assert np.abs(shares(model, wanted, "local") - 0.5).max() <= 0.03


def test_of_inner_groups_which_cost_the_same_the_less_important_give_way() -> None:
    model = Chain([64] * 6, {measure: [1.0] * 7 for measure in ("macs", "params", "memory")})
    generator = np.random.default_rng(2)
    scores = {f"layer{at}": generator.gamma(2.0, 0.5, 64) * (0.3 if at in (2, 3) else 1.0) for at in range(6)}
    found = shares(model, "macs=0.55,ratio=0.72", "global", scores)
    assert found[[2, 3]].max() < found[[1, 4]].min()


def test_scores_of_any_scale_give_the_same_choice(model: Chain) -> None:
    generator = np.random.default_rng(3)
    scores = {f"layer{at}": generator.gamma(2.0, 0.5, WIDTH) + 0.25 for at in range(COUNT)}
    plain = shares(model, "macs=0.5,params=0.45", "global", scores)
    doubled = {name: 4.0 * found for name, found in scores.items()}
    assert (shares(model, "macs=0.5,params=0.45", "global", doubled) == plain).all()


@pytest.mark.parametrize("scope", ["global", "local"])
def test_a_width_that_the_caller_decided_stays(model: Chain, scope: str) -> None:
    found = shares(model, "macs=0.5,params=0.5", scope, layer1=0.75, layer6=1.0)
    assert found[[1, 6]].tolist() == [0.75, 1.0]


def test_a_measure_that_costs_nothing_anywhere_is_no_obstacle() -> None:
    prices = {"macs": [1.0, 2.0, 1.0], "params": [0.0, 0.0, 5.0], "memory": [1.0] * 3}
    model = Chain([200, 200], prices)
    found = shares(model, "macs=0.4,params=0.7", "local")
    assert abs(found[1] - 0.7) <= TOLERANCE
