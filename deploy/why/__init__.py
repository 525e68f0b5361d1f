"""Why is one file not faster than the other? Operators side by side, what bounds each, and what would pay::

deploy.why.explain("base.onnx", "new.onnx", threads=2) -> Explanation
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deploy.why.asking import explain
    from deploy.why.records import Explanation

__all__ = ["Explanation", "explain"]

_HOME = {"Explanation": "deploy.why.records", "explain": "deploy.why.asking"}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'deploy.why' has no attribute {name!r}")
