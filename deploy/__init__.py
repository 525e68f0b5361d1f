"""Deployment files in, evidence out: profiles, paired comparisons, a gate and a report.

Works on files only and imports no torch, so that it fits on the device a file is meant for::

    deploy.profile("small.onnx", runtime="onnxruntime-cpu", threads=1)  -> Profile
    deploy.measure(files, runtimes=..., threads=(1, 2))                 -> Measured (profiles, failures)
    deploy.compare("base.onnx", "small.onnx")                           -> Comparison
    deploy.gate("base.onnx", "small.onnx", max_regression=0.05)         -> Verdict (.exit_code 0, 1 or 3)
    deploy.report.write_html(report, "report.html")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deploy import compatibility, environment, report, runtimes
    from deploy.comparing import compare
    from deploy.environment import Environment
    from deploy.gating import gate
    from deploy.measuring import Measured, measure
    from deploy.profiling import profile
    from deploy.records import Comparison, Conditions, Profile, Verdict

__all__ = [
    "Comparison",
    "Conditions",
    "Environment",
    "Measured",
    "Profile",
    "Verdict",
    "compare",
    "compatibility",
    "environment",
    "gate",
    "measure",
    "profile",
    "report",
    "runtimes",
]

_HOME = {
    "Comparison": "deploy.records",
    "Conditions": "deploy.records",
    "Environment": "deploy.environment",
    "Measured": "deploy.measuring",
    "Profile": "deploy.records",
    "Verdict": "deploy.records",
    "compare": "deploy.comparing",
    "gate": "deploy.gating",
    "measure": "deploy.measuring",
    "profile": "deploy.profiling",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in ("compatibility", "environment", "report", "runtimes"):
        return importlib.import_module(f"deploy.{name}")
    raise AttributeError(f"module 'deploy' has no attribute {name!r}")
