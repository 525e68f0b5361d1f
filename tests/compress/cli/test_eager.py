"""``compress prune --eager``: the network's own class beside the exported graph."""

from __future__ import annotations

from pathlib import Path

import torch

import compress
from compress.eager.restoring import make
from tests.compress.cli.calling import Cli

SPELLED = """
import torch
from torch import nn


class Spelled(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.head = nn.Linear(32, 4)

    def forward(self, x):
        return self.head(self.stem(x).relu().mean((2, 3)).view(-1, 32))
"""


def test_the_class_is_made_again_from_what_was_written(cli: Cli, net: Path) -> None:
    found = cli("prune", net, "--eager", "plain", "--json").data
    assert found["eager"] == "plain"
    small = compress.load(net.with_name("net.pruned.pt2"))
    module = compress.restore("plain/structure.json", "plain/weights.safetensors").eval()
    assert type(module).__module__.startswith("models.")
    given = small.example_inputs()
    assert torch.allclose(module(*given), small.module()(*given), atol=1e-6)
    before = Path("plain/structure.json").read_text()
    cli("prune", net, "--eager", "plain", "-o", "again.pt2").refused("structure.json", "--force")
    assert not Path("again.pt2").exists()
    assert Path("plain/structure.json").read_text() == before


def spelled(folder: Path) -> tuple[str, ...]:
    """Arguments that prune the class above."""
    (folder / "net.py").write_text(SPELLED)
    torch.save(make(f"{folder / 'net.py'}:Spelled", None).state_dict(), folder / "w.pt")
    return "prune", "w.pt", "--model", "net.py:Spelled", "--input-size", "3,8,8"


def test_what_a_class_spells_out_stays_whole_and_the_line_is_told(cli: Cli, tmp_path: Path) -> None:
    found = cli(*spelled(tmp_path), "--eager", "plain", "--json").data
    assert "the floor is macs=1.000" in found["note"]
    assert "net.py:13" in found["note"]
    module = compress.restore("plain/structure.json", "plain/weights.safetensors", trust_checkpoint=True)
    assert module.get_parameter("stem.weight").shape[0] == 32


def test_a_plan_that_the_class_cannot_take_ends_the_command_before_anything_is_written(
    cli: Cli, tmp_path: Path
) -> None:
    arguments = spelled(tmp_path)
    cli(*arguments, "--save-plan", "plan.json", "--dry-run")
    before = sorted(path.name for path in tmp_path.iterdir())
    for more in ((), ("--dry-run",)):
        cli(*arguments, "--plan", "plan.json", "--eager", "plain", *more).refused("net.py:13", "instead of 32")
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_what_is_in_the_folder_is_not_replaced(cli: Cli, tmp_path: Path) -> None:
    Path("plain").mkdir()
    Path("plain/structure.json").write_text("mine")
    cli(*spelled(tmp_path), "--eager", "plain").refused("structure.json", "another name with --eager", "--force")
    assert Path("plain/structure.json").read_text() == "mine"


def test_a_network_without_reference_is_refused_before_work(cli: Cli, net: Path) -> None:
    program = compress.load(net)
    program.info.model_ref = None
    program.save("bare.pt2")
    cli("prune", "bare.pt2", "--eager", "plain").refused("names no class", "--model")
    assert not Path("plain").exists()
