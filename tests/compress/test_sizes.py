"""The size model predicts what counting finds, for every choice of widths, without cutting."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from compress import Program
from compress.axes.analysis import analyse
from compress.axes.surgery import remove
from compress.sizes import SizeModel
from tests.compress.networks import Classifier, Tied, captured


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet20_a", "mobilenet_v3", "dense"])
def test_predictions_are_exact(family: Callable[[str], Program], name: str) -> None:
    analysis = analyse(family(name))
    groups = analysis.prunable
    model = SizeModel(analysis, groups)
    generator = np.random.default_rng(0)
    choices = np.array([[generator.integers(1, group.width + 1) for group in groups] for _ in range(3)])
    found = {measure: model.cost(measure, choices) for measure in ("macs", "params", "memory", "ratio")}
    for row, widths in enumerate(choices):
        keep = {group.name: np.arange(width) for group, width in zip(groups, widths.tolist(), strict=True)}
        count = remove(analysis, keep).count()
        assert found["macs"][row] == count.macs
        assert found["params"][row] == count.params
        assert found["memory"][row] == count.memory
        assert found["ratio"][row] == sum(w * g.cell for w, g in zip(widths.tolist(), groups, strict=True))


def test_full_widths_cost_what_the_network_costs() -> None:
    for build in (Classifier, Tied):
        program = captured(build())
        analysis = analyse(program)
        model = SizeModel(analysis, analysis.prunable)
        assert model.cost("macs", model.full)[0] == program.count().macs
        assert model.cost("params", model.full)[0] == program.count().params
        assert model.cost("memory", model.full)[0] == program.count().memory
        assert model.relative("macs", model.full)[0] == 1.0


def test_part_of_the_groups_may_be_left_out() -> None:
    analysis = analyse(captured(Classifier()))
    one = analysis.prunable[1]
    model = SizeModel(analysis, [one])
    smaller = remove(analysis, {one.name: np.arange(5)})
    assert model.cost("macs", np.array([5]))[0] == smaller.count().macs
