"""Does a runtime keep the contract of :mod:`deploy.runtimes`? A suite for pytest that third parties run on theirs.

    # test_mine.py
    from deploy.certification import RuntimeContract

    class TestMine(RuntimeContract):
        name = "my-runtime"          # the name of its entry point
        untold = frozenset({"times"})  # only where it does not tell the times of operators ("names", "placement")

Needs the packages pytest and onnx.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("deploy.certification.contract", "deploy.certification.telling")

from deploy.certification.contract import RuntimeContract  # noqa: E402
from deploy.certification.networks import NETWORKS, Network  # noqa: E402

__all__ = ["NETWORKS", "Network", "RuntimeContract"]
