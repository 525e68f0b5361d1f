"""Layer name patterns: what they match, and help where they match nothing."""

from __future__ import annotations

import pytest

from compress.axes.analysis import Analysis, analyse
from compress.errors import PlanError
from compress.patterns import layer_names, protected, ratios
from tests.compress.networks import Classifier, captured


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return analyse(captured(Classifier()))


def test_layers_are_listed_once(analysis: Analysis) -> None:
    names = layer_names(analysis.groups)
    assert len(names) == len(set(names))
    assert {"stem.0", "block.0", "block.3", "short", "head"} <= set(names)


def test_a_pattern_protects_every_group_that_a_matching_layer_makes(analysis: Analysis) -> None:
    assert protected(analysis, ["block.*"]) == {"block.0": "--ignore block.*", "block.3": "--ignore block.*"}
    assert protected(analysis, ["short"]) == {"block.3": "--ignore short"}, "a residual sum has one width"
    assert protected(analysis, ["stem.?", "*"])["stem.0"] == "--ignore stem.?"
    assert protected(analysis, []) == {}
    assert protected(analysis, ["head"]) == {}, "a frozen layer may be named: it stays anyway"


def test_of_several_ratios_the_last_counts(analysis: Analysis) -> None:
    assert ratios(analysis, {"block.*": 0.5, "block.3": 0.25}) == {"block.0": 0.5, "block.3": 0.25}


@pytest.mark.parametrize("pattern", ["blok.0", "", "BLOCK.0", "block"])
def test_a_pattern_that_matches_nothing_suggests_names(analysis: Analysis, pattern: str) -> None:
    with pytest.raises(PlanError, match="matches no layer; layers are named like") as caught:
        protected(analysis, [pattern])
    assert "--ignore" in str(caught.value)
    with pytest.raises(PlanError, match="--keep"):
        ratios(analysis, {pattern: 0.5})


@pytest.mark.parametrize("ratio", [0.0, -1.0, 1.1, float("nan")])
def test_ratios_lie_between_nothing_and_everything(analysis: Analysis, ratio: float) -> None:
    with pytest.raises(PlanError, match="not between 0 and 1"):
        ratios(analysis, {"stem.0": ratio})
