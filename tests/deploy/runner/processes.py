"""What becomes of other processes."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil
import pytest


def children_of(pid: int) -> list[int]:
    """The processes that a process has started, and that still run."""
    return [child.pid for child in psutil.Process(pid).children()]


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not asked for its code does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    """Fail unless ``condition`` comes true within half a minute."""
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it did not happen within 30 s")
