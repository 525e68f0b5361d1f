"""Kept lengths of axes as functions of the groups' widths: what cutting really leaves of every stored tensor."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

import compress
from compress import Program
from compress.axes.analysis import Analysis, analyse
from compress.axes.surgery import remove
from compress.lengths import Lengths, rectangle
from tests.compress.networks import Classifier, captured


class Joined(nn.Module):
    """Widths that add up (concatenation), that multiply (outer product, flattened) and that repeat (flattened maps)."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(6, 5), nn.Linear(6, 7)
        self.sum, self.product = nn.Linear(12, 4), nn.Linear(35, 4)
        self.maps = nn.Conv1d(1, 3, 3, padding=1)
        self.flat, self.head = nn.Linear(18, 4), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        left, right = self.left(x), self.right(x)
        outer = (left[:, :, None] * right[:, None, :]).flatten(1)
        joined = (
            self.sum(torch.cat([left, right], 1)) + self.product(outer) + self.flat(self.maps(x[:, None]).flatten(1))
        )
        found: torch.Tensor = self.head(joined.relu())
        return found


@pytest.fixture(scope="module")
def joined() -> Analysis:
    torch.manual_seed(0)
    return analyse(compress.capture(Joined(), (torch.randn(3, 6),)))


def predicted(analysis: Analysis, widths: NDArray[np.int64]) -> dict[str, tuple[float, ...]]:
    """The shape of every stored tensor for one choice of widths."""
    lengths = Lengths(analysis.atoms, analysis.prunable)
    rows = {name: [lengths.row(axis) for axis in axes] for name, axes in analysis.stored.items()}
    found = lengths.packed().evaluated(widths[None])[0]
    return {name: tuple(found[row]) for name, row in rows.items()}


def cut(analysis: Analysis, widths: NDArray[np.int64]) -> dict[str, tuple[int, ...]]:
    keep = {group.name: np.arange(width) for group, width in zip(analysis.prunable, widths.tolist(), strict=True)}
    return {name: tuple(tensor.shape) for name, tensor in remove(analysis, keep).tensors.items()}


def agree(analysis: Analysis, widths: NDArray[np.int64]) -> bool:
    left, expected = cut(analysis, widths), predicted(analysis, widths)
    assert expected.keys() >= left.keys()
    return all(np.allclose(expected[name], shape) for name, shape in left.items())


@pytest.mark.parametrize("name", ["mobilenet_v3", "dense", "resnext", "vgg_bn"])
def test_every_stored_axis_gets_the_length_that_is_said(family: Callable[[str], Program], name: str) -> None:
    analysis = analyse(family(name))
    generator = np.random.default_rng(1)
    for _ in range(2):
        assert agree(analysis, np.array([generator.integers(1, group.width + 1) for group in analysis.prunable]))


def test_widths_that_add_up_multiply_and_repeat(joined: Analysis) -> None:
    place = {layer: at for at, group in enumerate(joined.prunable) for layer in group.producers}
    widths = np.array([group.width for group in joined.prunable])
    widths[[place["left"], place["right"], place["maps"]]] = 2, 3, 1
    found = predicted(joined, widths)
    assert found["sum.weight"][1] == pytest.approx(2 + 3)
    assert found["product.weight"][1] == pytest.approx(2 * 3)
    assert found["flat.weight"][1] == pytest.approx(6)
    assert agree(joined, widths)


def test_axes_that_shrink_alike_share_a_row_and_others_do_not() -> None:
    analysis = analyse(captured(Classifier()))
    lengths = Lengths(analysis.atoms, analysis.prunable)
    stem, norm, head = (analysis.stored[name][0] for name in ("stem.0.weight", "stem.1.weight", "head.weight"))
    assert lengths.row(stem) == lengths.row(norm) == lengths.row(stem)
    assert lengths.row(head) != lengths.row(stem)
    own = next(at for at, group in enumerate(analysis.prunable) if "stem.0" in group.producers)
    assert lengths.row(stem) == lengths.row_of_group(own)


def test_a_group_that_is_left_out_counts_as_staying() -> None:
    analysis = analyse(captured(Classifier()))
    lengths = Lengths(analysis.atoms, [])
    row = lengths.row(analysis.stored["stem.0.weight"][0])
    assert lengths.packed().evaluated(np.zeros((2, 0)))[:, row].tolist() == [16.0, 16.0]


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=5))
def test_rectangles_keep_their_rows_and_are_filled_with_the_last_column(rows: list[list[int]]) -> None:
    found = rectangle(rows)
    assert found.shape == (len(rows), max([1, *map(len, rows)]))
    assert [[entry for entry in row if entry >= 0] for row in found.tolist()] == rows
