"""What holds for all tests: examples are not judged by how long they took, one thread computes, and Ctrl-C interrupts.

A shared machine may be slow at any time, and threads that wait for one another make a small network ten times slower
there. A shell that starts this in the background lets it ignore SIGINT, and children inherit that: the tests that press
Ctrl-C would wait for ever. Where tests run in several processes, those that measure take turns in one of them.
"""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; its processes inherit it
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

MEASURING = (
    "tests/deploy/",
    "tests/compress/cli/test_compatibility.py",
    "tests/compress/cli/test_devices.py",
    "tests/compress/cli/test_gate.py",
    "tests/compress/cli/test_measuring.py",
    "tests/compress/cli/test_profile.py",
    "tests/compress/cli/test_reporting.py",
    "tests/compress/cli/test_why.py",
    "tests/test_action.py",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share tests out by files, which keep their fixtures together, and keep those that measure in one process."""
    from xdist.scheduler.loadscope import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = nodeid.partition("::")[0]
            return "measuring" if file.startswith(MEASURING) else file

    return ByFile(config, log)
