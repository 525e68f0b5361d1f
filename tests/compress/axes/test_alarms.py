"""The proofs' own alarm: they fail when a rule is wrong, and the oracle knows every statistic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import fx

from compress import Program
from compress.axes import trace as tracing
from compress.axes.statistics import kept_statistic
from compress.axes.trace import Trace
from compress.errors import PlanError
from tests.compress.axes.between import MIDDLES, Between, captured
from tests.compress.proofs import BOUND, prove

_aten = torch.ops.aten


def _without(operator: Any, monkeypatch: pytest.MonkeyPatch, rule: Callable[[Trace, fx.Node], Any]) -> None:
    monkeypatch.setitem(tracing._PROPAGATE, operator, rule)


def _alarm(program: Program) -> bool:
    """Whether one of the proofs notices that something is wrong."""
    try:
        proof = prove(program)
    except (PlanError, AssertionError):
        return True
    return proof.permutation > 1e-6 or proof.oracle > 1e-6


@pytest.fixture(scope="module")
def plain() -> Program:
    return captured(Between(torch.add))


def test_the_proofs_hold_before_a_rule_is_broken(plain: Program) -> None:
    assert not _alarm(plain)


def test_forgotten_running_statistics_are_noticed(plain: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(trace: Trace, node: fx.Node) -> Any:
        x = trace.axes(node.args[0])
        for position in (1, 2, 4):
            trace.labels.tie(x[1], trace.axes(node.args[position])[0], "test")
        return x

    _without(_aten.batch_norm.default, monkeypatch, forgetful)
    assert _alarm(plain)


def test_a_forgotten_bias_is_noticed(plain: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(trace: Trace, node: fx.Node) -> Any:
        x, w = trace.axes(node.args[0]), trace.axes(node.args[1])
        trace.labels.tie(x[1], w[1], "test")
        return [x[0], w[0], *x[2:]]

    _without(_aten.conv2d.default, monkeypatch, forgetful)
    assert _alarm(plain)


def test_a_forgotten_residual_tie_is_noticed(plain: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    _without(_aten.add.Tensor, monkeypatch, lambda trace, node: trace.axes(node.args[0]))
    assert _alarm(plain)


def test_pieces_in_the_wrong_order_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    program = captured(Between(MIDDLES["split"][0], out=24))
    assert not _alarm(program)
    right = tracing._PROPAGATE[_aten.cat.default]

    def reversed_pieces(trace: Trace, node: fx.Node) -> Any:
        axes = right(trace, node)
        return [axes[0], axes[1][::-1].copy(), *axes[2:]]

    _without(_aten.cat.default, monkeypatch, reversed_pieces)
    assert _alarm(program)


def test_a_literal_that_is_not_rewritten_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    program = captured(Between(MIDDLES["gate by view"][0]))
    for operator in (_aten.view.default, _aten.expand.default, _aten.reshape.default):
        monkeypatch.delitem(tracing._REWRITE, operator)
    assert _alarm(program)


def test_a_fixed_normalisation_hides_nothing(plain: Program) -> None:
    """The proofs randomise running statistics: at their initial values a forgotten one could not be seen."""
    from compress.axes.randomise import randomised

    drawn = randomised(plain)
    mean = drawn.tensors["norm.running_mean"]
    assert float(mean.abs().min()) > 0
    assert float(drawn.tensors["norm.running_var"].min()) > 0.4
    assert BOUND == 1e-9


def test_the_oracle_knows_every_statistic_that_a_rule_flags() -> None:
    flagging = {"batch_norm", "layer_norm", "group_norm", "softmax", "reduction", "attention"}
    operators = [item for item, function in tracing._PROPAGATE.items() if function.__name__ in flagging]
    assert {function.__name__ for function in tracing._PROPAGATE.values()} >= flagging
    assert [str(item) for item in operators if kept_statistic(item) is None] == []
