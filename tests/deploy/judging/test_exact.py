from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.judging.exact import Loss, accuracy_loss

Pairs = list[tuple[bool, bool]]
_pairs = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200)


def _loss(pairs: Pairs, level: float = 0.01) -> Loss:
    base, new = [first for first, _ in pairs], [second for _, second in pairs]
    return accuracy_loss(base, new, low_level=level, high_level=level)


@settings(max_examples=60, deadline=None)
@given(_pairs)
def test_bounds_hold_the_share_and_are_mirrored_when_the_files_change_places(pairs: Pairs) -> None:
    loss, mirrored = _loss(pairs), _loss([(second, first) for first, second in pairs])
    assert -1 <= loss.low <= loss.share <= loss.high <= 1
    assert mirrored.low == pytest.approx(-loss.high, abs=1e-12)
    assert mirrored.high == pytest.approx(-loss.low, abs=1e-12)


def test_an_unchanged_file_has_lost_less_than_the_rule_of_three_says() -> None:
    loss = _loss([(True, True)] * 900 + [(False, False)] * 100, level=0.01)
    assert (loss.share, loss.only_base, loss.only_new) == (0.0, 0, 0)
    assert loss.high == pytest.approx(1 - 0.005 ** (1 / 1000), rel=1e-6)
    assert loss.low == -loss.high


def test_samples_on_which_both_agree_only_narrow_the_bounds() -> None:
    few = _loss([(True, False)] * 30 + [(False, True)] * 10 + [(True, True)] * 60)
    assert few.low > 0
    assert _loss([(True, False)] * 30 + [(False, True)] * 10 + [(True, True)] * 960).high < few.high


@pytest.mark.parametrize(("lost", "won"), [(0.05, 0.05), (0.06, 0.02), (0.001, 0.0)])
def test_bounds_are_wrong_no_more_often_than_they_say(lost: float, won: float) -> None:
    generator = np.random.default_rng(0)
    wrong = 0
    for _ in range(200):
        drawn = generator.random(300)
        pairs = [(value >= won, value >= won + lost or value < won) for value in drawn]
        loss = _loss(pairs, level=0.05)
        wrong += not loss.low <= lost - won <= loss.high
    assert wrong / 200 <= 0.1


def test_samples_that_cannot_be_paired_are_refused() -> None:
    with pytest.raises(ValueError, match="2 and 1"):
        accuracy_loss([True, False], [True], low_level=0.1, high_level=0.1)
