"""``compress sensitivity``, on a real network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import compress
from compress.cli.entry import run
from tests.compress.cli.calling import Cli


def test_without_data_the_change_of_the_outputs_is_measured_and_said(cli: Cli, net: Path) -> None:
    ended = cli("sensitivity", net)
    assert ended.code == 0, ended.err
    assert "relative change of the outputs on 8 random inputs (seed 0); no data given" in ended.out
    page = net.with_name("net.sensitivity.html").read_text()
    assert "chart-damage" in page
    assert "https://" not in page.split("<script>")[0]
    assert "<dt>samples</dt>" not in page, "no samples of data were looked at"
    assert "<dt>seed</dt><dd><code>0</code></dd>" in page
    assert "<code>0.875, 0.75, 0.5, 0.25</code>" in page
    assert "whole network" not in ended.out
    assert not net.with_name("net.sensitivity.run").exists()
    cli("sensitivity", net).refused("net.sensitivity.html", "--force")


def test_with_data_the_accuracy_lost_is_measured(cli: Cli, tmp_path: Path) -> None:
    assert (
        run(["finetune", "models:digitsnet", "--data", "digits", "--epochs", "4", "--lr", "0.05", "-o", "d.pt2"]) == 0
    )
    arguments = ("--data", "digits", "--samples", 200, "--keep-ratio", 0.25, "--criterion", "fisher")
    found = cli("sensitivity", "d.pt2", *arguments, "-o", "r.json", "-o", "r.html", "--json").data
    assert found == json.loads(Path("r.json").read_text())
    assert "200 samples of the validation part of digits" in found["measured"]
    assert found["whole"]["top1"] > 0.85
    for point in found["points"]:
        assert point["damage"] == pytest.approx(found["whole"]["top1"] - point["figures"]["top1"])
        assert point["kept"] == point["width"] // 4
    assert max(point["damage"] for point in found["points"]) > 0.1


def test_an_interrupted_scan_goes_on_where_it_stopped(cli: Cli, net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cli("sensitivity", net, "-o", "whole.json", "--json").data
    original = compress.damage.OutputChange.__call__
    calls: list[int] = []

    def counted(self: Any, program: compress.Program) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return original(self, program)

    monkeypatch.setattr(compress.damage.OutputChange, "__call__", counted)
    stopped = cli("sensitivity", net, "-o", "scan.json")
    assert stopped.code == 130
    assert "run the same command again to go on (state in scan.run)" in stopped.err
    assert not Path("scan.json").exists()
    assert len(json.loads(Path("scan.run/sensitivity.json").read_text())["points"]) == 6
    cli("sensitivity", net, "-o", "scan.json", "--criterion", "l1").refused("criterion was 'l2', is now 'l1'")
    calls[:] = [1] * 10
    again = cli("sensitivity", net, "-o", "scan.json", "--json")
    assert "going on after 6 cuts" in again.err
    assert again.data == whole
    assert len(calls) - 10 == 1 + len(whole["points"]) - 6, "the whole network and the cuts that were missing"
    assert not Path("scan.run").exists()


def test_a_damaged_state_is_named(cli: Cli, net: Path) -> None:
    Path("scan.run").mkdir()
    Path("scan.run/sensitivity.json").write_text('{"points": [{}]}')
    cli("sensitivity", net, "-o", "scan.json").refused("scan.run/sensitivity.json", "remove it to start over")
    assert cli("sensitivity", net, "-o", "scan.json", "--restart").code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--keep-ratio", "1"), ("--keep-ratio",)),
        (("--criterion", "taylor"), ("taylor", "--data")),
        (("--criterion", "magic"), ("magic",)),
        (("--ignore", "nosuchlayer"), ("nosuchlayer",)),
        (("--granularity", "1000"), ("no group can be cut",)),
        (("--data", "nosuchdata"), ("nosuchdata",)),
        (("-o", "report.pdf"), ("report.pdf", ".html")),
        (("-o", "nowhere/report.html"), ("nowhere",)),
    ],
)
def test_mistakes_are_refused_and_leave_nothing(
    arguments: tuple[str, ...], words: tuple[str, ...], cli: Cli, net: Path, tmp_path: Path
) -> None:
    cli("sensitivity", net, *arguments).refused(*words)
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt2"]
