"""What every provider of networks offers, and the errors that they share."""

from __future__ import annotations

import difflib
import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from compress.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn

Argument = int | float | bool | str
Arguments = Mapping[str, Argument]

_UNEXPECTED = re.compile(r"unexpected keyword argument '(\w+)'")
_LONGEST_MESSAGE = 300


@dataclass(frozen=True)
class Built:
    """A network, and the inputs that its factory returned beside it (user files only)."""

    module: nn.Module
    example_inputs: tuple[Tensor, ...] | None = None


@dataclass(frozen=True)
class Description:
    """What is recorded about a network's input.

    ``default_input`` is the shape without batch; ``preprocessing`` is ``{"mean", "std", "size"}``, size being [H, W].
    """

    default_input: tuple[int, ...] | None = None
    preprocessing: dict[str, Any] | None = None


class Provider(ABC):
    """Networks by name. ``where`` is the reference as the user wrote it, for messages."""

    @abstractmethod
    def build(self, name: str, arguments: Arguments, where: str) -> Built:
        """Create ``name`` with random weights, as its constructor leaves it. Raises :class:`ModelError`."""

    @abstractmethod
    def describe(self, name: str, arguments: Arguments, where: str) -> Description:
        """Tell what is recorded about the input of ``name``, without building it. Raises :class:`ModelError`."""


class Catalogue(Provider):
    """A provider with a fixed list of names."""

    @abstractmethod
    def names(self) -> list[str]:
        """Every name that :meth:`build` accepts, sorted."""


def unknown_name(name: str, known: Iterable[str], where: str, provider: str) -> ModelError:
    """The error for a name that a catalogue does not hold, with up to four nearest names."""
    nearest = difflib.get_close_matches(name, list(known), n=4, cutoff=0.6)
    hint = (
        f"nearest names: {', '.join(nearest)}" if nearest else f"see models.list_models('{provider}:*') for the names"
    )
    return ModelError(f"{provider} has no model named '{name}'", where=where, hint=hint)


def refuse_arguments(arguments: Arguments, refused: Mapping[str, str], where: str) -> None:
    """Raise :class:`ModelError` for the first argument that a reference may not carry, giving its reason."""
    for name in arguments:
        if name in refused:
            raise ModelError(f"argument '{name}' is not allowed", where=where, hint=refused[name])


def check_arguments(function: Callable[..., Any], arguments: Arguments, where: str) -> None:
    """Raise :class:`ModelError` where ``function`` does not take ``arguments``; callables without a signature pass."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    parameters = signature.parameters.values()
    accepted = [p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    for name in arguments:
        if name not in accepted and not takes_any:
            known = f"accepted: {', '.join(accepted)}" if accepted else "it takes no arguments"
            raise ModelError(f"unknown argument '{name}'", where=where, hint=known)
    required = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    missing = [name for name in required if name not in arguments]
    if missing:
        query = "&".join(f"{name}=VALUE" for name in missing)
        raise ModelError(f"argument '{missing[0]}' is required", where=where, hint=f"add ?{query} to the reference")


def call_constructor(function: Callable[..., Any], arguments: Arguments, where: str, **fixed: Any) -> Any:
    """Call ``function(**fixed, **arguments)``; whatever it raises becomes a one-line :class:`ModelError`."""
    try:
        return function(**{**fixed, **arguments})
    except Exception as error:
        unexpected = _UNEXPECTED.search(str(error)) if isinstance(error, TypeError) else None
        if unexpected and unexpected[1] in arguments:
            raise ModelError(f"unknown argument '{unexpected[1]}'", where=where) from error
        raise ModelError(f"building it raised {one_line(error)}", where=where) from error


def one_line(error: BaseException) -> str:
    """``Type: message`` on one line, shortened to what fits a terminal."""
    message = " ".join(str(error).split())
    if len(message) > _LONGEST_MESSAGE:
        message = message[: _LONGEST_MESSAGE - 3] + "..."
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
