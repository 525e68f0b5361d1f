"""Labels: ties close transitively, products agree with what they are tied to, and resolving always ends."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.axes.labels import Labels, fixed


def test_ties_are_transitive_and_a_frozen_index_freezes_all_that_it_is_tied_to() -> None:
    labels = Labels()
    a, b, c = labels.fresh(3), labels.fresh(3), labels.fresh(3)
    labels.tie(a, b, "a and b")
    labels.tie(b, c, "b and c")
    labels.freeze(c[:1], "first")
    atoms = labels.resolve()
    assert np.array_equal(atoms.of(a), atoms.of(c))
    assert atoms.frozen[atoms.of(a)].tolist() == [True, False, False]
    assert atoms.reason(int(atoms.of(a)[0])) == "first"


def test_an_index_of_a_product_goes_when_either_factor_goes() -> None:
    labels = Labels()
    rows, columns = labels.fresh(2), labels.fresh(3)
    whole = labels.product([rows, columns])
    atoms = labels.resolve()
    kept = np.ones(atoms.frozen.size, bool)
    kept[atoms.of(rows)[1]] = kept[atoms.of(columns)[0]] = False
    assert atoms.closed(kept)[atoms.of(whole)].tolist() == [False, True, True, False, False, False]


def test_a_product_with_a_frozen_factor_is_the_other_factor() -> None:
    labels = Labels()
    rows, columns = labels.fresh(2), labels.fresh(3)
    whole = labels.product([rows, columns])
    labels.freeze(rows, "picked")
    atoms = labels.resolve()
    assert np.array_equal(atoms.of(whole), np.tile(atoms.of(columns), 2))


def test_splitting_what_was_merged_gives_the_factors_back() -> None:
    labels = Labels()
    rows, columns = labels.fresh(4), labels.fresh(5)
    again = labels.factors(labels.product([rows, columns]), [4, 5], "again")
    atoms = labels.resolve()
    assert np.array_equal(atoms.of(again[0]), atoms.of(rows))
    assert np.array_equal(atoms.of(again[1]), atoms.of(columns))


def test_grids_that_do_not_fit_give_up_their_smaller_factor() -> None:
    labels = Labels()
    axis = labels.fresh(12)
    two, six = labels.factors(axis, [2, 6], "first")
    three, four = labels.factors(axis, [3, 4], "second")
    atoms = labels.resolve()
    assert atoms.frozen[atoms.of(two)].all()
    assert atoms.frozen[atoms.of(three)].all()
    assert not atoms.frozen[atoms.of(six)].any()
    # Position i of six is i modulo 6, of four i modulo 4: only what agrees modulo 2 is left.
    assert np.unique(atoms.of(axis)).size == 2
    assert np.array_equal(atoms.of(four)[:2], atoms.of(six)[:2])


def test_a_product_tied_to_its_own_factor_ends_frozen() -> None:
    labels = Labels()
    rows, columns = labels.fresh(2), labels.fresh(3)
    whole = labels.product([rows, columns])
    labels.tie(whole[:2], rows, "circular")
    atoms = labels.resolve()
    assert atoms.frozen[atoms.of(whole)[0]]  # it would be a product of itself
    assert atoms.of(whole)[1] == atoms.of(columns)[1]  # the other one is what is left of its product


def test_single_elements_and_fixed_axes_make_no_products() -> None:
    labels = Labels()
    columns = labels.fresh(3)
    assert np.array_equal(labels.product([fixed(2), columns]), np.tile(columns, 2))
    assert np.array_equal(labels.product([columns, fixed(1)]), columns)
    assert not labels.product([fixed(2), fixed(3)]).any()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_resolving_ends_and_closed_masks_respect_every_tie(data: st.DataObject) -> None:
    labels = Labels()
    axes = [
        labels.fresh(size) for size in data.draw(st.lists(st.sampled_from([2, 3, 4, 6, 12]), min_size=1, max_size=4))
    ]
    ties = []
    for _ in range(data.draw(st.integers(0, 6))):
        first, second = data.draw(st.sampled_from(axes)), data.draw(st.sampled_from(axes))
        axes.append(labels.product([first, second])) if first.size * second.size <= 48 else None
        fitting = [axis for axis in axes if axis.size == axes[-1].size]
        other = data.draw(st.sampled_from(fitting))
        labels.tie(axes[-1], other, "drawn")
        ties.append((axes[-1], other))
    atoms = labels.resolve()
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=atoms.frozen.size, max_size=atoms.frozen.size)))
    closed = atoms.closed(kept | atoms.frozen)
    for left, right in ties:
        assert np.array_equal(closed[atoms.of(left)], closed[atoms.of(right)])
    assert closed[atoms.frozen].all()
