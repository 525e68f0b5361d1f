"""The runtimes that deployment files can be measured in, one file each.

Third parties add one by an entry point of the group ``compress.runtimes``, whose name is the runtime's and whose value
is a subclass of :class:`Runtime`; :mod:`deploy.runtimes.certify` tells them whether it keeps the contract.
"""

from __future__ import annotations

import difflib

from compress.errors import InputError, UnavailableError
from deploy.runtimes import registry
from deploy.runtimes.base import Array, Description, InputSpec, OperatorTiming, Runtime, Session
from deploy.runtimes.registry import GROUP

__all__ = [
    "GROUP",
    "Array",
    "Description",
    "InputSpec",
    "OperatorTiming",
    "Runtime",
    "Session",
    "available",
    "get",
    "names",
    "reading",
    "suffixes",
]


def names() -> dict[str, str | None]:
    """Return every known runtime name with ``None`` where it can be used here, else the reason why not."""
    return {name: registry.reason(found) for name, found in registry.known().items()}


def available() -> list[str]:
    """Return the names of the runtimes that can be used on this machine."""
    return [name for name, reason in names().items() if reason is None]


def suffixes(name: str) -> tuple[str, ...]:
    """Return how the names of the files end that the runtime called ``name`` reads; none where it is broken."""
    return registry.suffixes(registry.known()[name])


def reading(suffix: str) -> list[str]:
    """Return the names of the runtimes, here or not, that read files whose names end in ``suffix`` (``.onnx``)."""
    return [name for name, found in registry.known().items() if suffix.lower() in registry.suffixes(found)]


def get(name: str) -> Runtime:
    """Return the runtime called ``name``.

    Raises:
        InputError: no runtime is called that.
        UnavailableError: the runtime is known, but cannot be used here; the message lists those that can.
    """
    known = registry.known()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise InputError(f"no runtime is called {name!r}", hint=f"{meant}known are {', '.join(known)}")
    reason = registry.reason(known[name])
    if reason is not None:
        here = ", ".join(available()) or "none"
        raise UnavailableError(
            f"runtime {name} is not available here ({reason})", hint=f"available on this machine: {here}"
        )
    return registry.make(known[name])
