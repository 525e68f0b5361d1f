"""The algebra of patterns, on weights of any shape."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.errors import PlanError
from compress.sparsity.layout import Layout
from compress.sparsity.patterns import PATTERNS, pattern_named

sizes = st.tuples(*(st.integers(1, 9) for _ in range(4)))
names = st.sampled_from(sorted(PATTERNS))


def drawn(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(sizes, names, st.integers(0, 9))
@settings(deadline=None)
def test_units_part_a_weight(shape: tuple[int, ...], name: str, seed: int) -> None:
    pattern, elements = PATTERNS[name], drawn(shape, seed)
    sums = pattern.sums(elements)
    torch.testing.assert_close(sums.sum(), elements.sum())
    assert pattern.sums(torch.ones(shape)).min() >= 1
    # Each unit alone is spread over as many elements as it sums over, and all of them cover the weight once.
    number = torch.arange(sums.numel()).reshape(sums.shape)
    owner = pattern.spread(number, elements)
    assert owner.shape == elements.shape
    counts = torch.bincount(owner.reshape(-1), minlength=sums.numel())
    assert torch.equal(counts, pattern.sums(torch.ones(shape)).reshape(-1).long())


@given(sizes, names, st.integers(0, 9))
@settings(deadline=None)
def test_whatever_is_chosen_unit_by_unit_has_the_pattern(shape: tuple[int, ...], name: str, seed: int) -> None:
    pattern, elements = PATTERNS[name], drawn(shape, seed)
    scores = pattern.sums(elements)
    kept = pattern.untouchable(scores) if pattern.whole else scores > 0
    spread = pattern.spread(kept, elements)
    assert pattern.holds(spread)
    if pattern.whole:
        for inputs in spread.split(4, dim=2):
            assert int(inputs.sum(dim=2).max()) <= 2
            assert int(inputs.sum(dim=2).min()) == min(2, inputs.shape[2])


@given(sizes, st.integers(0, 9))
@settings(deadline=None)
def test_two_of_four_keeps_the_two_largest(shape: tuple[int, ...], seed: int) -> None:
    scores = drawn(shape, seed)
    kept = PATTERNS["2:4"].untouchable(scores)
    for values, stay in zip(scores.split(4, dim=2), kept.split(4, dim=2), strict=True):
        lowest = torch.where(stay, values, torch.inf).amin(dim=2)
        highest = torch.where(stay, -torch.inf, values).amax(dim=2)
        assert bool((lowest >= highest).all())


@pytest.mark.parametrize(("name", "rows"), [("4x1", 4), ("2x1", 2)])
def test_blocks_are_consecutive_outputs_of_one_group(name: str, rows: int) -> None:
    weight = torch.zeros(2 * 6, 3, 1, 1)  # two groups of six outputs: an incomplete block at the end of each
    opened = Layout(groups=2).opened(weight)
    pattern = PATTERNS[name]
    blocks = -(-6 // rows)
    units = torch.arange(2 * blocks * 3).reshape(2, blocks, 3, 1)
    owner = Layout(groups=2).closed(pattern.spread(units, opened), weight.shape)[:, 0, 0, 0]
    assert owner.tolist() == [units[group, row // rows, 0, 0] for group in range(2) for row in range(6)]


def test_one_weight_out_of_a_block_breaks_the_pattern() -> None:
    kept = torch.ones(1, 8, 3, 9, dtype=torch.bool)
    kept[0, 4:, 1, 2] = False
    assert PATTERNS["4x1"].holds(kept)
    kept[0, 4, 1, 2] = True
    assert not PATTERNS["4x1"].holds(kept)
    assert PATTERNS["unstructured"].holds(kept)
    assert not PATTERNS["2:4"].holds(torch.ones(1, 8, 4, 9, dtype=torch.bool))


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.booleans())
@settings(deadline=None)
def test_layouts_open_and_close(groups: int, outputs: int, inputs: int, edge: int, transposed: bool) -> None:
    shape = (groups * inputs, outputs, edge, edge) if transposed else (groups * outputs, inputs, edge, edge)
    weight = torch.arange(groups * outputs * inputs * edge * edge).reshape(shape)
    layout = Layout(groups, transposed)
    opened = layout.opened(weight)
    assert opened.shape == (groups, outputs, inputs, edge * edge)
    assert torch.equal(layout.closed(opened, weight.shape), weight)


def test_an_unknown_pattern_is_named_with_the_known_ones() -> None:
    with pytest.raises(PlanError, match="no pattern '8x1'; choose one of unstructured, 4x1, 2x1, 2:4"):
        pattern_named("8x1")
