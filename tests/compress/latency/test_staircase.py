"""Staircases: read out of times, and kept in files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.errors import CompressError, InputError, UndecidedError
from compress.latency.staircase import Staircase, Stairs, fit
from compress.pipeline.staircase_files import WIDTHS
from tests.compress.latency.stairs import staircase

POWERS = st.sampled_from([1, 2, 4, 8, 16, 32])


@given(POWERS, POWERS, st.floats(1.3, 3), st.floats(0, 1), st.integers(0, 99))
def test_stairs_are_found_in_noisy_times(block: int, alignment: int, plain: float, constant: float, seed: int) -> None:
    alignment = min(alignment, block)
    truth = Stairs(block, alignment, plain, 0)
    times = constant + 0.01 * truth.effective(np.array(WIDTHS))
    noise = np.exp(np.random.default_rng(seed).normal(0, 0.003, len(WIDTHS)))
    found = fit(WIDTHS, list(times * noise))
    assert found.error < 0.01
    said = found.effective(np.array(WIDTHS)) / truth.effective(np.array(WIDTHS))
    assert np.abs(said / np.median(said) - 1).max() < 0.1
    if constant < 0.2:
        assert found.block == block or max(found.block, block) <= 2  # hardly a width tells one channel from two


def test_a_runtime_without_stairs_has_steps_of_one() -> None:
    found = fit(WIDTHS, [0.1 + 0.01 * width for width in WIDTHS])
    assert (found.block, found.alignment) == (1, 1)
    assert found.effective(np.array([7, 8])).tolist() == [7.0, 8.0]


def test_effective_widths_are_whole_blocks_or_slow() -> None:
    stairs = Stairs(16, 4, 2.0, 0.0)
    assert stairs.effective(np.array([4, 16, 17, 20, 33])).tolist() == [16.0, 16.0, 34.0, 32.0, 66.0]


def test_times_without_sense_are_refused() -> None:
    times = np.random.default_rng(0).uniform(1, 30, len(WIDTHS))
    with pytest.raises(UndecidedError, match="no stairs"):
        fit(WIDTHS, list(times), "linear layer")
    for wrong in ([0.0] * len(WIDTHS), [float("nan")] * len(WIDTHS), [1.0]):
        with pytest.raises(InputError, match=r"measure again|take 5"):
            fit(WIDTHS[: len(wrong)], wrong)


def test_a_file_reads_back_as_it_was(tmp_path: Path) -> None:
    made = staircase()
    made.save(tmp_path / "a.staircase.json")
    assert Staircase.load(tmp_path / "a.staircase.json") == made


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "compress-plan"}, "is no staircase"),
        ({"version": 2}, "version 2"),
        ({"key": {}}, "damaged"),
        ({"stairs": {"linear layer": {"block": 5, "alignment": 1, "plain": 1.0, "error": 0.0}}}, "damaged"),
        ({"stairs": 7}, "damaged"),
    ],
)
def test_files_that_are_something_else_are_refused(tmp_path: Path, change: dict[str, object], said: str) -> None:
    path = tmp_path / "a.staircase.json"
    staircase().save(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CompressError, match=said):
        Staircase.load(path)
    for text in ("", "[]", "{"):
        path.write_text(text)
        with pytest.raises(InputError):
            Staircase.load(path)
    with pytest.raises(InputError, match="cannot be read"):
        Staircase.load(tmp_path / "none")
