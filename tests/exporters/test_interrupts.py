"""Ctrl-C during foreign code is kept, not lost."""

from __future__ import annotations

import os
import signal

import pytest

from exporters._interrupts import held_back


def test_an_interrupt_is_raised_when_the_block_is_done() -> None:
    reached: list[str] = []
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        _interrupted(reached)
    assert reached == ["the end"]
    assert signal.getsignal(signal.SIGINT) is before


def _interrupted(reached: list[str]) -> None:
    with held_back():
        os.kill(os.getpid(), signal.SIGINT)
        reached.append("the end")


def test_without_an_interrupt_nothing_happens() -> None:
    with held_back():
        pass
