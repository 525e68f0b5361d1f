"""``compress inspect``: what is printed, and the page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.compress.cli.calling import Cli
from tests.deploy.browsing import Tags

HOSTILE = """
import torch
from torch import nn

class Hostile(nn.Module):
    def __init__(self):
        super().__init__()
        self.add_module('<script>alert(1)</script>', nn.Conv2d(3, 8, 3))
        self.add_module("x' onload='alert(2)", nn.Conv2d(8, 8, 3))
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        for layer in list(self.children())[:2]:
            x = torch.special.i0(layer(x).clamp(-1, 1))
        return self.head(x.mean((2, 3)))

def make():
    return Hostile(), (torch.zeros(2, 3, 8, 8),)
"""


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


@pytest.fixture
def blocked(tmp_path: Path) -> tuple[str, ...]:
    """Arguments for a network with hostile names and an operator without a rule."""
    import torch

    import models

    (tmp_path / "net.py").write_text(HOSTILE)
    torch.save(models.load_reference("net.py:make").module.state_dict(), tmp_path / "net.pt")
    return ("net.pt", "--model", "net.py:make")


def test_the_page_shows_every_layer_width_and_reason(cli: Cli, net: Path, tmp_path: Path) -> None:
    said = cli("inspect", net, "-o", "net.html", "--json")
    assert said.code == 0
    data = json.loads(said.out)
    page = (tmp_path / "net.html").read_text()
    text = text_of(page)
    for layer in data["layers"]:
        assert layer["name"] in text
    assert page.count('<g class="layer"') == len(data["layers"])
    drawn = {position for layer in data["layers"] for position in layer["groups"]}
    assert page.count('<g class="width ') == len(drawn)
    for group in data["groups"]:
        assert group["name"] in text
        assert (group["reason"] or "") in text
    assert f"{100 * data['reachable_macs']:.1f} % of the MACs lie in widths that can shrink" in text
    assert "network output" in text


def test_the_page_is_complete_and_the_same_every_time(cli: Cli, net: Path, tmp_path: Path) -> None:
    for name in ("one.html", "two.html"):
        assert cli("inspect", net, "-o", name).code == 0
    one, two = ((tmp_path / name).read_bytes() for name in ("one.html", "two.html"))
    assert one == two
    page = one.decode()
    assert "://" not in page
    assert not [link for link in Tags(page).links if not link.startswith(("#", "data:,"))]
    assert str(tmp_path) not in page


def test_names_cannot_become_markup(cli: Cli, blocked: tuple[str, ...], tmp_path: Path) -> None:
    assert cli("inspect", *blocked, "-o", "net.html").code == 0
    page = (tmp_path / "net.html").read_text()
    assert "alert(1)" in text_of(page)
    assert page.count("<script") == 1  # the page's own
    assert not [name for name in Tags(page).attributes if name.startswith("on")]


def test_an_operator_without_a_rule_is_said_with_its_macs(cli: Cli, blocked: tuple[str, ...], tmp_path: Path) -> None:
    printed = cli("inspect", *blocked, "-o", "net.html")
    line = next(line for line in printed.out.splitlines() if line.startswith("out of reach: "))
    bound = re.search(r"at most (\S+ \S+) MACs \((\S+ %)\) because of aten.special_i0.default", line)
    assert bound is not None
    assert f"at most {bound[2]} of the MACs are out of reach" in text_of((tmp_path / "net.html").read_text())
    data = json.loads(cli("inspect", *blocked, "--json").out)
    (one,) = data["out_of_reach"]["operators"]
    assert one["operator"] == "aten.special_i0.default"
    assert len(one["places"]) == 2 or one["places"][0].startswith("net.py")
    assert 0 < one["macs"] <= data["count"]["macs"] * (1 - data["reachable_macs"])
    pruned = cli("prune", *blocked, "--dry-run", "--target", "macs=0.99")
    assert line in pruned.out.splitlines()
    summary = json.loads(cli("prune", *blocked, "--dry-run", "--target", "macs=0.99", "--json").out)
    assert summary["out_of_reach"] == data["out_of_reach"]


def test_ignored_layers_are_shown_as_protected(cli: Cli, net: Path, tmp_path: Path) -> None:
    free = json.loads(cli("inspect", net, "--json").out)
    held = json.loads(cli("inspect", net, "--json", "--ignore", "stage1.*", "-o", "net.html").out)
    assert held["reachable_macs"] < free["reachable_macs"]
    protected = {group["name"] for group in held["groups"] if group["status"] == "protected"}
    assert protected > {group["name"] for group in free["groups"] if group["status"] == "protected"}
    assert "--ignore stage1.*" in text_of((tmp_path / "net.html").read_text())
    assert cli("inspect", net, "--ignore", "nothing.*").code == 2


def test_the_same_as_json_in_a_file(cli: Cli, net: Path, tmp_path: Path) -> None:
    said = cli("inspect", net, "-o", "net.json", "--json")
    assert json.loads((tmp_path / "net.json").read_text()) == json.loads(said.out)


def test_wrong_requests_are_refused_before_any_work(cli: Cli, net: Path, onnx: Path, tmp_path: Path) -> None:
    (tmp_path / "there.html").write_text("mine")
    for arguments, words in (
        ((net, "-o", "there.html"), "there.html"),
        ((net, "-o", "net.pdf"), ".html or .json"),
        ((net, "-o", "nowhere/net.html"), "nowhere"),
        ((onnx, "-o", "net.html"), "needs a network"),
        ((onnx, "--ignore", "stem"), "--ignore needs a network"),
    ):
        said = cli("inspect", *arguments)
        assert said.code == 2
        assert words in said.err
        assert not said.out
    assert (tmp_path / "there.html").read_text() == "mine"
    assert cli("inspect", net, "-o", "there.html", "--force").code == 0
    assert cli("inspect", onnx, "-o", "onnx.json").code == 0
