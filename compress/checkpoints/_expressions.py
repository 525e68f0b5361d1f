"""The white-list for shape expressions: torch hands them to ``sympy.sympify``, which evaluates them as Python."""

from __future__ import annotations

import ast
import math
import re

MAX_LENGTH = 65536
MAX_EXPONENT = 16
MAX_POWERS = 2
MAX_INTEGER = 2**64

# Few digits: torch counts up to the number of an unbacked symbol one by one.
_SYMBOL = re.compile(r"(?:s|u|zuf|zf|i|f)\d{1,5}")
_DECIMAL = re.compile(r"-?\d{1,40}(?:\.\d{0,40})?(?:e[+-]?\d{1,3})?")
_CONSTANTS = frozenset({"True", "False", "true", "false", "oo", "int_oo"})
_ASSUMPTIONS = frozenset({"positive", "integer", "nonnegative", "negative", "real", "finite", "zero", "nonzero"})
# What sympy's srepr prints for torch's shape expressions; none of it does more than arithmetic.
_FUNCTIONS = frozenset({
    "Abs", "Add", "And", "CeilDiv", "CeilToInt", "CleanDiv", "Eq", "Equality", "FloatTrueDiv", "FloorDiv",
    "FloorToInt", "Ge", "GreaterThan", "Gt", "Identity", "IntTrueDiv", "Integer", "Le", "LShift",
    "LessThan", "Lt", "Max", "Min", "Mod", "ModularIndexing", "Mul", "Ne", "Not", "Or", "PythonMod",
    "RShift", "Rational", "RoundToInt", "StrictGreaterThan", "StrictLessThan", "ToFloat", "TruncToFloat",
    "TruncToInt", "Unequality", "Where", "ceiling", "floor",
})  # fmt: skip
_POWERS = frozenset({"Pow", "PowByNatural"})
_BINARY = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.BitAnd, ast.BitOr)
_UNARY = (ast.UAdd, ast.USub, ast.Invert, ast.Not)
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)


class RefusedError(ValueError):
    """Content of an archive that is not on the white-list; the message says what."""


def clean_expression(text: object) -> str:
    """Return a shape expression re-written from its checked syntax tree.

    Raises:
        RefusedError: anything but numbers, shape symbols, arithmetic, comparisons and the listed functions.
    """
    if not isinstance(text, str) or len(text) > MAX_LENGTH:
        raise RefusedError(f"a shape expression is not a text of at most {MAX_LENGTH} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
        _check(tree.body, MAX_POWERS)
        return ast.unparse(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise RefusedError(f"the shape expression {text[:60]!r} is not plain arithmetic on sizes") from error


def _check(node: ast.expr, powers: int) -> None:
    """Check one node; ``powers`` is how many more powers may be nested in it."""
    match node:
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int() as number):
            _require(abs(number) <= MAX_INTEGER)
        case ast.Constant(value=float() as number):
            _require(math.isfinite(number))
        case ast.Name(id=name):
            _require(_SYMBOL.fullmatch(name) is not None or name in _CONSTANTS)
        case ast.UnaryOp(op=operator, operand=operand):
            _require(isinstance(operator, _UNARY))
            _check(operand, powers)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            _check_power(left, right, powers)
        case ast.BinOp(left=left, op=operator, right=right):
            _require(isinstance(operator, _BINARY))
            _check(left, powers)
            _check(right, powers)
        case ast.Compare(left=left, ops=operators, comparators=others):
            _require(all(isinstance(operator, _COMPARISONS) for operator in operators))
            for operand in (left, *others):
                _check(operand, powers)
        case ast.Call(func=ast.Name(id=name)):
            _check_call(name, node, powers)
        case _:
            raise RefusedError("not arithmetic")


def _check_call(name: str, call: ast.Call, powers: int) -> None:
    match name, call.args, call.keywords:
        case "Symbol", [ast.Constant(value=str() as symbol)], keywords:
            _require(_SYMBOL.fullmatch(symbol) is not None)
            _require(all(k.arg in _ASSUMPTIONS and _is_boolean(k.value) for k in keywords))
        case "Float", [ast.Constant(value=str() as digits)], [
            ast.keyword("precision", ast.Constant(value=int() as bits))
        ]:
            _require(_DECIMAL.fullmatch(digits) is not None and bits <= 64)
        case power, [base, exponent], [] if power in _POWERS:
            _check_power(base, exponent, powers)
        case function, arguments, [] if function in _FUNCTIONS:
            for argument in arguments:
                _check(argument, powers)
        case _:
            raise RefusedError("not a known function")


def _check_power(base: ast.expr, exponent: ast.expr, powers: int) -> None:
    # A tower of powers costs its writer ten characters and its reader all memory.
    _require(powers > 0)
    _check(base, powers - 1)
    match exponent:
        case ast.Call(func=ast.Name(id="Integer"), args=[inner], keywords=[]):
            exponent = inner
    match exponent:
        case ast.UnaryOp(op=ast.USub(), operand=inner):
            exponent = inner
    match exponent:
        case ast.Constant(value=int() as number):
            _require(number <= MAX_EXPONENT)
        case _:
            raise RefusedError("not a plain power")


def _is_boolean(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, bool)


def _require(condition: bool) -> None:
    if not condition:
        raise RefusedError("not on the white-list")
