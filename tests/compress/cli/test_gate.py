"""``compress gate`` with a policy, further limits, data, and everything that it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.records import Verdict
from tests.compress.cli.calling import Cli

Pair = tuple[Path, Path]


def test_a_policy_decides_on_all_its_metrics_and_options_override_it(cli: Cli, pair: Pair) -> None:
    dense, small = pair
    Path("gate.yaml").write_text("latency: 30%\nsize: 0%\nmacs: 0%\nbudget: 20\nthreads: 2\n")
    ended = cli("gate", dense, small, "--policy", "gate.yaml", "--threads", 1, "--limit", "memory=50%", "--json")
    assert ended.code == 0, ended.err + ended.out
    verdict = Verdict.model_validate(ended.data)
    assert {finding.metric: finding.status for finding in verdict.findings} == dict.fromkeys(
        ("latency", "memory", "size", "macs"), "pass"
    )
    assert (verdict.conditions.threads, verdict.budget, verdict.tolerance) == (1, 20, 0.3)
    larger = cli("gate", small, dense, "--policy", "gate.yaml", "--max-regression", "500%")
    assert larger.code == 1, larger.err
    assert "in size and macs" in larger.out


def test_accuracy_is_judged_sample_by_sample(cli: Cli, pair: Pair) -> None:
    dense, _ = pair
    loose = ("--max-regression", "50%", "--data", "digits", "--json")
    same = cli("gate", dense, dense, *loose, "--limit", "accuracy=3%")
    assert same.code == 0, same.err + same.out
    finding = same.data["findings"][-1]
    assert (finding["metric"], finding["base"], finding["change"]) == ("accuracy", finding["new"], 0.0)
    assert 0 < finding["high"] < 0.03
    close = cli("gate", dense, dense, *loose, "--limit", "accuracy=0.01%")
    assert close.code == 3
    assert close.data["findings"][-1]["status"] == "inconclusive"


def test_every_form_of_the_verdict_is_written(cli: Cli, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    written = ("--junit", "gate.xml", "-o", "v.json", "-o", "v.md")
    ended = cli("gate", pair[0], pair[1], "--max-regression", "0.0001%", "--budget", 1, "--github", *written)
    assert ended.code == 3, ended.err
    assert ended.out.startswith("::warning title=compress gate%3A latency")
    assert Verdict.model_validate(json.loads(Path("v.json").read_text())).exit_code == 3
    assert Path("v.md").read_text() == Path("summary.md").read_text()
    assert "<error" in Path("gate.xml").read_text()
    cli("gate", pair[0], pair[1], *written).refused("--force")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--limit", "speed=5%"), ("METRIC=SHARE", "memory")),
        (("--limit", "memory"), ("memory", "METRIC=SHARE")),
        (("--limit", "p99=5%", "--limit", "p99=10%"), ("p99", "twice")),
        (("--limit", "accuracy=1%"), ("--data",)),
        (("--data", "digits"), ("--limit accuracy",)),
        (("--policy", "none.yaml"), ("none.yaml",)),
        (("--policy", "wrong.yaml"), ("wrong.yaml", "did you mean latency?")),
        (("-o", "verdict.html"), (".json or .md",)),
        (("-o", "nowhere/verdict.md"), ("nowhere",)),
        (("--junit", "."), ("folder",)),
        (("--github",), ("GITHUB_STEP_SUMMARY",)),
        (("--runtime", "onnxruntime-cpi"), ("did you mean onnxruntime-cpu",)),
    ],
)
def test_wrong_input_is_one_line(
    cli: Cli, pair: Pair, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    Path("wrong.yaml").write_text("latensy: 5%\n")
    cli("gate", *pair, *arguments).refused(*words)


def test_the_help_shows_every_metric_and_a_policy(cli: Cli) -> None:
    shown = cli("gate", "--help").out
    assert all(f"{word}" in shown for word in ("accuracy: 0.5%", "--limit p95=10%", "--junit", "Exit codes"))
