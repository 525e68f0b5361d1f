"""Ask a process of its own, so that what crashes or hangs there is an answer, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from compress.errors import UnavailableError
from deploy.runner import children
from deploy.runner.children import ChildError, TaskError

Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """What became of a question: the task's ``value``, or how it ended without one and the ``reason``."""

    value: Any = None
    ended: Literal["refused", "unavailable", "crashed", "hung"] | None = None
    reason: str = ""
    hint: str | None = None


def ask(task: str, arguments: Arguments, *, timeout: float) -> Answer:
    """Return the answer of ``task``, written as ``module:function``; it hangs after ``timeout`` seconds of silence."""
    return _ask(task, arguments, timeout)[0]


def ask_each(task: str, items: Sequence[Arguments], *, timeout: float) -> list[Answer]:
    """Return the answers of a task that takes ``{"items": [...]}`` and returns one :func:`told` for each, in order.

    All are answered by one process as long as none kills it.
    """
    if not items:
        return []
    answer, at = _ask(task, {"items": list(items)}, timeout)
    if answer.value is not None:
        return [Answer(**told) for told in answer.value]
    if at is None:
        return [answer] * len(items)
    before, behind = items[:at], items[at + 1 :]
    return [*ask_each(task, before, timeout=timeout), answer, *ask_each(task, behind, timeout=timeout)]


def _ask(task: str, arguments: Arguments, timeout: float) -> tuple[Answer, int | None]:
    try:
        return Answer(children.run(task, arguments, timeout=timeout, tick=_unheard)), None
    except ChildError as error:
        return Answer(
            ended=cast(Literal["crashed", "hung"], error.kind), reason=error.reason, hint=error.hint
        ), error.at
    except TaskError as error:
        ended: Literal["unavailable", "refused"]
        ended = "unavailable" if isinstance(error.error, UnavailableError) else "refused"
        return Answer(ended=ended, reason=error.error.what, hint=error.error.hint), error.at


def _unheard(_share: float, _text: str) -> None:
    """A trial is one step: what it does within is not shown."""
