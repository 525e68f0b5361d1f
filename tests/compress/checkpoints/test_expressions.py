"""The white-list of shape expressions against what sympy prints and against hostile texts."""

from __future__ import annotations

import pytest
import sympy  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._sympy.functions import CeilToInt, FloorDiv, IntTrueDiv, Mod, ModularIndexing, PythonMod, Where

from compress.checkpoints._expressions import RefusedError, clean_expression

S0, S1 = (sympy.Symbol(name, positive=True, integer=True) for name in ("s0", "s71"))


def grown(children: st.SearchStrategy[sympy.Expr]) -> st.SearchStrategy[sympy.Expr]:
    pairs = st.tuples(children, children)
    return st.one_of(
        pairs.map(lambda pair: pair[0] + pair[1]),
        pairs.map(lambda pair: 2 * pair[0] - pair[1]),
        pairs.map(lambda pair: sympy.Max(*pair)),
        children.map(lambda child: FloorDiv(child, 3)),
        children.map(lambda child: Mod(child, 4)),
    )


@settings(max_examples=50, deadline=None)
@given(st.recursive(st.sampled_from([S0, S1, sympy.Integer(5)]), grown, max_leaves=6))
def test_what_torch_prints_passes_unchanged(expression: sympy.Expr) -> None:
    text = sympy.srepr(expression)
    assert clean_expression(text) == text


@pytest.mark.parametrize(
    "expression",
    [
        S0**2, FloorDiv(S0, 2) ** 2, sympy.Eq(S0, 3), sympy.Ne(S0, S1), (S0 >= 2) & (S0 < 9), sympy.Or(S0 < 2, S1 > 5),
        sympy.Float(2.5) * S0, sympy.Rational(1, 2) * S0, IntTrueDiv(S0, 2), CeilToInt(IntTrueDiv(S0, 2)),
        ModularIndexing(S0, 2, 3), PythonMod(S0, 2), Where(S0 > 2, S0, 3), sympy.true, sympy.oo, -S0,
    ],
)  # fmt: skip
def test_other_printed_forms_pass(expression: sympy.Basic) -> None:
    assert clean_expression(sympy.srepr(expression)) == sympy.srepr(expression)


@pytest.mark.parametrize(
    "text", ["s0 + 2*u3 - 1", "Max(s0, 4) // 2", "s0 >= 2", "Eq(s0, 1)", "s0**2", "FloorDiv(s0, 2)"]
)
def test_plain_arithmetic_passes(text: str) -> None:
    assert clean_expression(text) == text.replace("2*u3", "2 * u3").replace("s0**2", "s0 ** 2")


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')", "s0.__class__", "().__class__.__bases__", "exec('1')", "eval", "open('x')",
        "lambda: 1", "[s0 for s0 in ()]", "s0[0]", "f'{s0}'", "'text'", "s0; s1", "s0 if s1 else 2", "(s0, s1)",
        "Symbol('s0; import os')", "Symbol('s0', __class__=True)", "Symbol(s0)", "Symbol('s0', positive=exec('1'))",
        "Float('1; import os', precision=53)", "Integer('__import__(\"os\")')", "Max(*s0)", "Max(s0, key=s1)",
        "9**9**9**9", "2**10000", "2**(2**64)", "Pow(Integer(9), Pow(Integer(9), Integer(9)))", "((s0**9)**9)**9",
        "s0**s1", "9" * 50, "1e999", "", "   ", "s", "os", "s0 := 1", "s0\nimport os", "@", "\x00", "1" * 70000,
        "(" * 5000 + ")" * 5000, "-" * 60000 + "1", None, 3, ["s0"],
    ],
)  # fmt: skip
def test_everything_else_is_refused(text: object) -> None:
    with pytest.raises(RefusedError):
        clean_expression(text)
