"""Every error of a user is one family, one line, one exit code."""

from __future__ import annotations

import inspect

import pytest

from compress import errors
from compress.errors import CompressError, InputError

KINDS = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, CompressError)]


def test_what_where_and_hint_make_one_line() -> None:
    error = InputError("is empty", where="a.pt", hint="write it again")
    assert str(error) == "a.pt: is empty; write it again"
    assert (error.what, error.where, error.hint) == ("is empty", "a.pt", "write it again")
    assert str(InputError("is empty")) == "is empty"


@pytest.mark.parametrize("kind", KINDS)
def test_exit_codes(kind: type[CompressError]) -> None:
    expected = {"UndecidedError": 3, "UnavailableError": 4}.get(kind.__name__, 2)
    assert kind.exit_code == expected
    assert kind.__doc__
