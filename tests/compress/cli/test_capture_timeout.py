"""``--capture-timeout``: a network whose code loops for ever is given up; what takes long says what it does."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from compress.cli.progress import lines
from tests.compress.cli.calling import Cli

HANGING = """
import torch
from torch import nn

class Turning(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 4)
        self.tail = nn.Linear(4, 4)

    def forward(self, x):
        x = self.body(x)
        while True:
            x = x + 1
        return self.tail(x)

def turning():
    return Turning(), (torch.zeros(2, 4),)
"""


def test_the_command_line_gives_up_too(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(HANGING)
    state = {f"{name}.{part}": torch.zeros(4, *more) for name in ("body", "tail") for part, more in PARTS.items()}
    torch.save(state, tmp_path / "net.pt")
    hanging = ("net.pt", "--model", "net.py:turning", "--capture-timeout", "2")
    for command in ("inspect", "prune"):
        said = cli(command, *hanging)
        assert said.code == 2
        assert "given up after 2 s" in said.err
        assert "of net.py (in forward)" in said.err
    # What lies before the loop can be had alone; what lies behind it is never reached.
    assert cli("inspect", *hanging, "--submodule", "body").code == 0
    behind = cli("inspect", *hanging, "--submodule", "tail")
    assert behind.code == 2
    assert "while running the network up to tail" in behind.err
    assert "of net.py" in behind.err


PARTS: dict[str, tuple[int, ...]] = {"weight": (4,), "bias": ()}


@pytest.mark.parametrize("wrong", ["-1", "nan", "soon"])
def test_a_wrong_timeout_is_refused(cli: Cli, wrong: str) -> None:
    said = cli("inspect", "net.pt", "--capture-timeout", wrong)
    assert said.code == 2
    assert "--capture-timeout" in said.err


def test_a_log_gets_lines_at_growing_distances(capfd: pytest.CaptureFixture[str]) -> None:
    with lines("loading net.pt", first=0.05) as doing:
        doing("tracing the training graph")
        time.sleep(0.5)
    said = capfd.readouterr().err.splitlines()
    assert 2 <= len(said) <= 4  # after 0.05, 0.1, 0.2 and 0.4 s
    assert all(line.startswith("loading net.pt: tracing the training graph, ") for line in said)
