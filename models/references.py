"""Model references: parsing, creation, and what is recorded about the input.

Grammar: ``provider:name`` or ``path/file.py:factory``, then optionally ``?key=value&key=value``. Values are integers,
floats, ``true``/``false``, else strings; percent escapes are decoded.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from compress.errors import ModelError
from models.providers.base import Argument, Catalogue, Provider

if TYPE_CHECKING:
    from torch import Tensor, nn

CATALOGUES = ("models", "timm", "torchvision")
_FILE = "file"
_INTEGER = re.compile(r"[+-]?\d+")
_FLOAT = re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][+-]?\d+)?")
_FORMS = "write torchvision:NAME, timm:NAME, models:NAME or path/file.py:factory"


@dataclass(frozen=True)
class ModelReference:
    """A reference taken apart: ``provider`` is a catalogue's name or ``"file"``, ``name`` what it is to build."""

    provider: str
    name: str
    arguments: Mapping[str, Argument]
    text: str


@dataclass(frozen=True)
class Reference:
    """A network made from a reference.

    Attributes:
        module: the network, random weights, in training mode as constructors leave it.
        example_inputs: what a ``file.py:factory`` returned beside the network, else None.
        default_input: recorded shape of the (first) input without batch, e.g. (3, 224, 224), or None.
        preprocessing: ``{"mean": [..], "std": [..], "size": [H, W]}`` for pixels scaled to 0..1, or None.
        ref: the reference as it was given.
    """

    module: nn.Module = field(repr=False)
    example_inputs: tuple[Tensor, ...] | None
    default_input: tuple[int, ...] | None
    preprocessing: dict[str, Any] | None
    ref: str


def parse(ref: str) -> ModelReference:
    """Take a reference apart, without importing or running anything.

    Raises:
        ModelError: an unknown provider, a missing name or factory, or a malformed argument.
    """
    if not ref.isprintable():
        raise ModelError("is not a model reference", where=repr(ref), hint=_FORMS)
    head, _, query = ref.partition("?")
    provider, separator, name = head.rpartition(":") if ".py" in head else head.partition(":")
    arguments = _parse_query(query, ref) if "?" in ref else {}
    if provider.endswith(".py") and name:
        return ModelReference(_FILE, head, arguments, ref)
    if head.endswith(".py") or provider.endswith(".py"):
        raise ModelError("no factory is named", where=ref, hint="write path/file.py:factory")
    if separator and provider in CATALOGUES:
        if not name:
            raise ModelError("no model is named", where=ref, hint=_FORMS)
        return ModelReference(provider, name, arguments, ref)
    if not separator:
        raise ModelError("is not a model reference", where=ref or "''", hint=_FORMS)
    nearest = difflib.get_close_matches(provider, CATALOGUES, n=1)
    hint = f"did you mean {nearest[0]}:{name}?" if nearest else _FORMS
    raise ModelError(f"unknown provider '{provider}'", where=ref, hint=hint)


def load_reference(ref: str) -> Reference:
    """Create the network that ``ref`` names, with what is recorded about its input. Nothing is downloaded.

    Raises:
        ModelError: the reference is malformed or unknown, an argument does not fit, or the factory failed.
        UnavailableError: the library that provides it is not installed.
    """
    parsed = parse(ref)
    provider = _provider(parsed.provider)
    built = provider.build(parsed.name, parsed.arguments, ref)
    if parsed.provider == _FILE:
        from models.providers.user_files import describe_built

        about = describe_built(built)
    else:
        about = provider.describe(parsed.name, parsed.arguments, ref)
    return Reference(built.module, built.example_inputs, about.default_input, about.preprocessing, ref)


def create(ref: str) -> nn.Module:
    """Create the network that ``ref`` names: random weights, training mode. Raises as :func:`load_reference`."""
    parsed = parse(ref)
    return _provider(parsed.provider).build(parsed.name, parsed.arguments, ref).module


def default_input(ref: str) -> tuple[int, ...]:
    """Return the recorded input shape without batch, e.g. (3, 224, 224) channels, height, width.

    Raises:
        ModelError: nothing is recorded, or as :func:`load_reference`.
    """
    parsed = parse(ref)
    shape = _provider(parsed.provider).describe(parsed.name, parsed.arguments, ref).default_input
    if shape is None:
        raise ModelError("records no input size", where=ref, hint="give one with --input-size, e.g. 3,224,224")
    return shape


def preprocessing(ref: str) -> dict[str, Any] | None:
    """Return ``{"mean", "std", "size": [H, W]}`` for pixels scaled to 0..1, None where nothing is recorded.

    Raises as :func:`load_reference`.
    """
    parsed = parse(ref)
    return _provider(parsed.provider).describe(parsed.name, parsed.arguments, ref).preprocessing


def example_inputs(ref: str) -> tuple[Tensor, ...] | None:
    """Return the inputs that a ``file.py:factory`` returned beside its network; None for every other reference.

    Raises as :func:`load_reference`.
    """
    parsed = parse(ref)
    if parsed.provider != _FILE:
        return None
    return _provider(_FILE).build(parsed.name, parsed.arguments, ref).example_inputs


def list_models(pattern: str = "*") -> list[str]:
    """List references that match a shell-style pattern, e.g. ``"models:*"``, ``"*:resnet??"``, by provider and name.

    A pattern that starts with a provider asks only that one.
    """
    found: list[str] = []
    for provider in CATALOGUES:
        if fnmatch.fnmatch(provider, pattern.partition(":")[0] if ":" in pattern else "*"):
            names = _catalogue(provider).names()
            found += fnmatch.filter((f"{provider}:{name}" for name in names), pattern)
    return found


def _provider(name: str) -> Provider:
    if name == _FILE:
        from models.providers.user_files import UserFiles

        return UserFiles()
    return _catalogue(name)


@cache
def _catalogue(name: str) -> Catalogue:
    match name:
        case "torchvision":
            from models.providers.torchvision_models import TorchvisionModels

            return TorchvisionModels()
        case "timm":
            from models.providers.timm_models import TimmModels

            return TimmModels()
    from models.providers.own_models import OwnModels

    return OwnModels()


def _parse_query(query: str, where: str) -> dict[str, Argument]:
    arguments: dict[str, Argument] = {}
    for part in query.split("&"):
        key, separator, value = part.partition("=")
        if not separator or not key.isidentifier():
            raise ModelError(f"argument '{part}' is not key=value", where=where, hint="e.g. ?num_classes=10&in_chans=1")
        if key in arguments:
            raise ModelError(f"argument '{key}' is given twice", where=where)
        arguments[key] = _typed(unquote(value))
    return arguments


def _typed(text: str) -> Argument:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
