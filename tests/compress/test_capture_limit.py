"""Captures that hang are interrupted, and say where; those that are merely slow are left alone and say what they do."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import compress
from compress.errors import CaptureError

LIMIT = 2.0
ROOT = Path(__file__).resolve().parents[2]


class Endless(nn.Module):
    """Applies its layer for ever, in one mode or both."""

    def __init__(self, *, training_only: bool = False) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.training_only = training_only

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        while self.training or not self.training_only:
            x = self.layer(x)  # the endless loop
        return x


class Around(nn.Module):
    """The endless layer inside another network."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 4)
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.inner(self.stem(x))
        return result


class Sleeper(nn.Module):
    """Waits for ``seconds`` whenever it is run, then computes."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.seconds = seconds

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(self.seconds)
        result: torch.Tensor = self.layer(x)
        return result


def given_up(module: nn.Module, limit: float = LIMIT) -> str:
    with pytest.raises(CaptureError) as caught:
        compress.capture(module, (torch.zeros(2, 4),), time_limit=limit)
    return str(caught.value)


def in_thread(work: Callable[[], str]) -> str:
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join(60)
    assert found, "the thread did not end"
    return found[0]


def loop_line() -> int:
    text = Path(__file__).read_text().splitlines()
    return next(number for number, line in enumerate(text, 1) if line.endswith("# the endless loop"))


@pytest.mark.parametrize("run", [lambda work: work(), in_thread], ids=["main thread", "other thread"])
def test_an_endless_loop_is_given_up_and_its_layer_and_line_are_named(run: Callable[[Callable[[], str]], str]) -> None:
    said = run(lambda: given_up(Around(Endless())))
    assert "Around was given up after 2 s while tracing the evaluation graph" in said
    assert "in layer 'inner'" in said
    # The signal may arrive at the loop's condition, one line above its body.
    assert any(
        f"line {number} of {Path(__file__).name} (in forward)" in said for number in (loop_line(), loop_line() - 1)
    )
    for option in ("--submodule", "--input-size", "--capture-timeout"):
        assert option in said
    again = compress.capture(nn.Linear(4, 4), (torch.zeros(2, 4),))
    assert again.count().macs == 16  # torch is as usable as before


@pytest.mark.parametrize("ends", ["in time", "given up"])
def test_afterwards_python_can_be_traced_as_ever(ends: str) -> None:
    """An exception that CPython believes to be still under way lets it hang in the first traced call."""
    script = f"""
import sys, threading, torch, compress
from tests.compress.test_capture_limit import Endless, given_up

def work():
    if {ends!r} == "given up":
        given_up(Endless())
    else:
        compress.capture(torch.nn.Linear(4, 4), (torch.zeros(2, 4),), time_limit=60)

thread = threading.Thread(target=work)
thread.start()
thread.join()
sys.setprofile(lambda *_: None)
(lambda: None)()
sys.setprofile(None)
print("traced")
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False, cwd=ROOT
    )
    assert ended.stdout == "traced\n", ended.stderr


def test_a_loop_in_training_mode_alone_is_said_to_be_there() -> None:
    assert "while tracing the training graph" in given_up(Endless(training_only=True))


def test_waiting_is_interrupted_too() -> None:
    assert "the network's own forward" in given_up(Sleeper(3600))


@pytest.mark.parametrize("limit", [None, 120.0])
def test_a_slow_capture_is_left_alone_and_says_what_it_does(limit: float | None) -> None:
    stages: list[str] = []
    before = signal.getsignal(signal.SIGURG)
    program = compress.capture(Sleeper(0.2), (torch.zeros(2, 4),), time_limit=limit, progress=stages.append)
    assert program.count().macs == 16
    assert stages == ["tracing the evaluation graph", "tracing the training graph", "writing out both graphs"]
    assert signal.getsignal(signal.SIGURG) is before
    watches = [thread for thread in threading.enumerate() if thread.name == "capture time limit"]
    for watch in watches:
        watch.join(10)
    assert not any(watch.is_alive() for watch in watches)


def test_handlers_and_timers_of_others_stay_in_force() -> None:
    heard: list[int] = []
    earlier = [signal.signal(number, lambda got, _: heard.append(got)) for number in (signal.SIGALRM, signal.SIGURG)]
    handlers = [signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGURG)]

    class Raising(Sleeper):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            signal.raise_signal(signal.SIGURG)
            return super().forward(x)

    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        assert "given up" in given_up(Raising(3600))
        assert heard == [signal.SIGURG, signal.SIGALRM]
        assert [signal.getsignal(number) for number in (signal.SIGALRM, signal.SIGURG)] == handlers
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in zip((signal.SIGALRM, signal.SIGURG), earlier, strict=True):
            signal.signal(number, handler)


def test_ctrl_c_interrupts_as_ever() -> None:
    before = signal.getsignal(signal.SIGURG)
    press = threading.Timer(0.5, lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT))
    press.start()
    with pytest.raises(KeyboardInterrupt):
        compress.capture(Sleeper(3600), (torch.zeros(2, 4),), time_limit=600)
    assert signal.getsignal(signal.SIGURG) is before


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf")])
def test_a_limit_that_is_no_time_is_refused(limit: float) -> None:
    assert "no positive number" in given_up(nn.Linear(4, 4), limit)
