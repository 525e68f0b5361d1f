"""Which file runs in which runtime on which device class, each answer from a trial, and what would mend the rest."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deploy.compatibility.checking import Trials as Trials
    from deploy.compatibility.checking import check as check
    from deploy.compatibility.compiling import CAPABILITIES as CAPABILITIES
    from deploy.compatibility.compiling import Compiled as Compiled
    from deploy.compatibility.records import Cell as Cell
    from deploy.compatibility.records import Matrix as Matrix

_HOME = {
    "CAPABILITIES": "deploy.compatibility.compiling",
    "Cell": "deploy.compatibility.records",
    "Compiled": "deploy.compatibility.compiling",
    "Matrix": "deploy.compatibility.records",
    "Trials": "deploy.compatibility.checking",
    "check": "deploy.compatibility.checking",
}
__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'deploy.compatibility' has no attribute {name!r}")
