"""Calibrating on a runtime that takes exactly as long as a formula says."""

from __future__ import annotations

import numpy as np
import pytest

from compress.axes.analysis import Analysis
from compress.errors import InputError
from compress.latency.calibrating import Calibration
from compress.latency.kinds import family
from compress.latency.space import Space, joined
from tests.compress.latency.synthetic import blocked, error_of, measured, space_of


@pytest.mark.parametrize("sparse", [False, True])
def test_a_network_that_was_measured_forty_times_is_predicted(inverted: Analysis, sparse: bool) -> None:
    space, calibration = space_of(inverted, sparse=sparse), Calibration(inverted, sparse=sparse)
    choices = joined(space.corners(), space.draw(40, seed=0))
    calibration.fit(measured(calibration, choices, blocked, noise=0.02))
    errors = error_of(calibration, space.draw(100, seed=9), blocked)
    assert np.median(errors) < 0.02
    assert errors.max() < 0.12


def test_the_blocks_of_a_runtime_are_found(residual: Analysis) -> None:
    space, calibration = space_of(residual), Calibration(residual, sparse=False)
    choices = joined(space.corners(), space.draw(40, seed=0))
    calibration.fit(measured(calibration, choices, blocked, noise=0.01))
    found = {kind.block for name, kind in calibration.records().items() if family(name) == "convolution"}
    assert found == {(16, 16)}

    def smooth(points: np.ndarray) -> np.ndarray:
        return np.asarray(0.01 + 1e-4 * points[..., 0] * points[..., 1])

    calibration.fit(measured(calibration, choices, smooth, noise=0.01))
    assert {kind.block for kind in calibration.records().values()} == {(1, 1)}


def test_few_input_channels_that_take_their_own_time_have_a_table_of_their_own(residual: Analysis) -> None:
    def plain(points: np.ndarray) -> np.ndarray:
        few = points[..., 1] < 16
        return np.asarray(blocked(points) * np.where(few, 1.5 + points[..., 1] / 4, 1.0))

    space, calibration = space_of(residual), Calibration(residual, sparse=False)
    choices = joined(space.corners(), space.draw(60, seed=0))
    found = measured(calibration, choices, plain, noise=0.01)
    calibration.fit(found)
    first = next(name for name in calibration.records() if "with max_pool2d" in name)
    assert calibration.records()[first].below is None, "it never reads fewer than 16"
    wide = Space(residual, step=4, lowest_width=0.06, lowest_density=0.1, sparse=False)
    choices = joined(wide.corners(), wide.draw(60, seed=0))
    calibration.fit(measured(calibration, choices, plain, noise=0.01))
    assert calibration.records()[first].below is not None
    errors = error_of(calibration, wide.draw(100, seed=9), plain)
    assert np.median(errors) < 0.03


def test_choosing_what_is_least_sure_beats_choosing_at_random(inverted: Analysis) -> None:
    space = space_of(inverted, sparse=True)
    probes = space.draw(200, seed=1000)
    worst: dict[str, list[float]] = {"chosen": [], "random": []}
    for seed in range(3):
        for how, errors in worst.items():
            calibration = Calibration(inverted, sparse=True)
            found = measured(calibration, joined(space.corners(), space.draw(4, seed)), blocked, noise=0.01, seed=seed)
            for step in range(3):
                calibration.fit(found)
                pool = space.draw(100, seed=100 * seed + step)
                rows = calibration.next(pool, 4) if how == "chosen" else [0, 1, 2, 3]
                found += measured(calibration, pool[rows], blocked, noise=0.01, seed=10 * seed + step)
            calibration.fit(found)
            errors.append(float(np.quantile(error_of(calibration, probes, blocked), 0.95)))
    assert np.mean(worst["chosen"]) < np.mean(worst["random"])


def test_what_is_chosen_next_is_not_all_alike(inverted: Analysis) -> None:
    space, calibration = space_of(inverted), Calibration(inverted, sparse=False)
    calibration.fit(measured(calibration, joined(space.corners(), space.draw(4, 0)), blocked))
    pool = joined(*(space.draw(10, seed=1) for _ in range(3)))
    chosen = calibration.next(pool, 8)
    assert len(set(chosen)) == 8
    assert len({pool.key(row) for row in chosen}) == 8, "copies are passed over while there are others"


def test_samples_of_other_networks_count(inverted: Analysis) -> None:
    space, first = space_of(inverted), Calibration(inverted, sparse=False)
    first.fit(measured(first, joined(space.corners(), space.draw(30, 0)), blocked))
    again = Calibration(inverted, sparse=False, known=first.records())
    again.fit(measured(again, space.corners(), blocked))
    alone = Calibration(inverted, sparse=False)
    alone.fit(measured(alone, space.corners(), blocked))
    probes = space.draw(100, seed=9)
    assert np.median(error_of(again, probes, blocked)) < np.median(error_of(alone, probes, blocked))


def test_a_layer_whose_time_is_not_told_is_named(inverted: Analysis) -> None:
    calibration = Calibration(inverted, sparse=False)
    found = measured(calibration, space_of(inverted).corners(), blocked)
    lacking = [one.model_copy(update={"shares": {"features.0.0": 1.0}}) for one in found]
    with pytest.raises(InputError, match=r"tells no time of layer features\.1"):
        calibration.fit(lacking)


@pytest.mark.parametrize("step", [1, 4, 8])
def test_choices_are_whole_steps_from_the_lowest_to_everything(residual: Analysis, step: int) -> None:
    space = space_of(residual, step=step, sparse=True)
    choices = joined(space.corners(), space.draw(50, seed=0))
    cells = np.array([group.cell for group in residual.prunable])
    channels = choices.widths * cells
    assert ((channels % step == 0) | (choices.widths == space.full)).all()
    assert (choices.widths <= space.full).all()
    assert (choices.widths >= np.minimum(0.25 * space.full, space.full)).all()
    assert choices.densities.min() == pytest.approx(0.2)
    assert choices.densities.max() == 1.0
    assert (choices.widths[0] == space.full).all()
    assert len({choices.key(row) for row in range(len(choices))}) > 40


def test_shares_that_are_none_are_refused(residual: Analysis) -> None:
    with pytest.raises(InputError, match="lowest width of 0"):
        Space(residual, step=4, lowest_width=0.0, lowest_density=0.1, sparse=False)
