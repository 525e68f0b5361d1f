"""Figures as people read them."""

from __future__ import annotations

import pytest

from compress.pipeline.tables import amount, change, figure, metric, milliseconds, percent, size


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (125_747_456, "count", "125.7 M"),
        (999, "count", "999"),
        (0, "count", "0"),
        (3_270_000, "bytes", "3.27 MB"),
        (12, "bytes", "12 B"),
        (0.9108, "share", "91.08 %"),
        (1.2345, "ms", "1.234 ms"),
        (123.4, "ms", "123.4 ms"),
        (26_680, "per second", "26.68 k/s"),
        (0.5, "", "0.5"),
        (None, "ms", "unknown"),
    ],
)
def test_figures_have_their_unit(value: float | None, unit: str, shown: str) -> None:
    assert figure(value, unit) == shown


def test_change_is_a_ratio_and_points_for_shares() -> None:
    assert change(2.0, 1.0) == "x 0.5"
    assert change(0.9889, 0.9916, "share") == "+0.27 points"
    assert change(None, 1.0) == change(1.0, None) == change(0.0, 1.0) == ""


def test_metrics_are_one_line_of_numbers() -> None:
    line = metric({"top1": 0.91, "loss": 0.31234, "data": "digits", "done": True, "samples": 359})
    assert line == "top1 91.00 %, loss 0.3123, samples 359"


def test_small_and_unknown_amounts() -> None:
    assert amount(55_670) == "55.67 k"
    assert size(2_000_000_000) == "2 GB"
    assert percent(None) == milliseconds(None) == "unknown"
    assert percent(0.504) == "50.4 %"
