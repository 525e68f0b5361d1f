"""What makes a calibration one that is refused."""

from __future__ import annotations

import numpy as np
import pytest

from compress.errors import UndecidedError
from compress.latency.judging import check, held_out, outliers, ratio_of
from compress.latency.measurement import Measurement
from compress.latency.record import HeldOut

TIMES = np.linspace(2, 20, 40)
GOOD = HeldOut(error=0.03, spearman=0.99, configurations=16)


def _measured(times: np.ndarray) -> list[Measurement]:
    return [Measurement(widths=(1,), milliseconds=float(time), noise=0.01) for time in times]


def test_error_and_rank_correlation_are_those_of_the_definition() -> None:
    found = held_out(TIMES * np.where(np.arange(40) % 2, 1.1, 1.02), TIMES)
    assert found.error == pytest.approx(0.06)
    assert held_out(TIMES**2, TIMES).spearman == pytest.approx(1.0)
    assert held_out(-TIMES + 30, TIMES).spearman == pytest.approx(-1.0)
    assert held_out(np.ones(40), TIMES).spearman == 0.0, "a constant ranks nothing"


def test_noise_is_no_outlier_and_a_stall_is_one() -> None:
    noise = np.exp(0.05 * np.random.default_rng(0).standard_normal(40))
    assert outliers(TIMES, TIMES * noise) == []
    stalled = TIMES * noise
    stalled[[3, 7]] *= 2
    assert outliers(TIMES, stalled) == [3, 7]
    assert outliers(TIMES, 1.5 * TIMES) == [], "what is off alike is a matter of the model"


def test_a_calibration_full_of_outliers_is_refused_with_the_reason() -> None:
    check(TIMES, _measured(TIMES), GOOD)
    stalled = TIMES.copy()
    stalled[::7] *= 3
    with pytest.raises(UndecidedError, match=r"6 of 40 measurements contradict .* where they tell .*; close what"):
        check(TIMES, _measured(stalled), GOOD)


def test_predictions_of_no_use_are_refused() -> None:
    with pytest.raises(UndecidedError, match="predicted worse than to 22 %"):
        check(TIMES, _measured(TIMES), HeldOut(error=0.22, spearman=0.5, configurations=16))


def test_runs_that_wait_for_others_do_not_move_a_ratio() -> None:
    random = np.random.default_rng(0)
    base, new = (time * np.exp(0.01 * random.standard_normal(400)) for time in (2.0, 1.0))
    quiet, _ = ratio_of(base, new)
    stalls = 1 + random.exponential(1.0, (2, 400)) * (random.random((2, 400)) < 0.5)
    busy, noise = ratio_of(base * stalls[0], new * stalls[1])
    assert quiet == pytest.approx(0.5, rel=0.005)
    assert busy == pytest.approx(0.5, rel=0.02)
    assert noise < 0.02


def test_noise_falls_with_the_number_of_runs() -> None:
    random = np.random.default_rng(0)
    few, many = (ratio_of(*np.exp(0.1 * random.standard_normal((2, count))))[1] for count in (25, 2500))
    assert 4 < few / many < 25
    assert many < 0.01
