from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest

import deploy
from compress.errors import InputError
from deploy.judging import github, junit, macs, markdown, memory, policy
from deploy.judging.judge import judge
from deploy.records import Finding, Verdict
from tests.deploy.runner import plugin

HOSTILE = "|*_<script>_`.onnx"


def _policy(**values: object) -> policy.Policy:
    return policy.make({"latency": "40%", "budget": 10, **values})


def _by_metric(verdict: Verdict) -> dict[str, Finding]:
    return {finding.metric: finding for finding in verdict.findings}


@pytest.fixture(scope="module")
def failed(net: Path, bigger_net: Path, tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    """More than twice the work, under a name that is trouble; data on which a tenth is lost."""
    path = shutil.copy(bigger_net, tmp_path_factory.mktemp("named") / HOSTILE)
    outcomes = [True] * 100, [True] * 70 + [False] * 30
    limits = {"p90": "900%", "memory": "900%", "size": "10%", "macs": 0, "accuracy": "1%"}
    return judge(net, path, _policy(**limits), outcomes=outcomes)


def test_every_metric_is_judged_on_its_own_and_one_failure_fails(failed: Verdict) -> None:
    found = _by_metric(failed)
    assert list(found) == ["latency", "p90", "memory", "size", "macs", "accuracy"]
    assert (failed.status, failed.exit_code) == ("fail", 1)
    assert [name for name, finding in found.items() if finding.status == "fail"] == [
        "latency",
        "size",
        "macs",
        "accuracy",
    ]
    assert found["memory"].status == "pass"
    assert found["accuracy"].change == pytest.approx(0.3)
    assert found["macs"].base == 24 * 24 * 9 * (3 * 16 + 2 * 16 * 16)
    assert found["size"].new == failed.new.size
    assert "worse than base.onnx in latency, size, macs and accuracy" in failed.text
    assert "\n" not in failed.text
    assert Verdict.model_validate_json(failed.model_dump_json()) == failed


def test_nothing_worse_passes_and_says_so_for_every_metric(net: Path) -> None:
    verdict = judge(net, net, _policy(memory="25%", size=0, macs=0))
    assert verdict.exit_code == 0, verdict.text
    assert {finding.status for finding in verdict.findings} == {"pass"}
    assert all(finding.text[1:] in verdict.text for finding in verdict.findings)


def test_what_cannot_be_measured_never_passes(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "peaks", lambda *_, **__: None)
    monkeypatch.setattr(macs, "count", lambda *_: None)
    verdict = judge(net, net, _policy(memory="5%", macs="5%", accuracy="1%"))
    assert (verdict.status, verdict.exit_code) == ("inconclusive", 3)
    found = _by_metric(verdict)
    assert [found[name].status for name in ("memory", "macs", "accuracy")] == ["unmeasured"] * 3
    assert verdict.text.count("COULD NOT BE MEASURED") == 3
    assert [line.partition(" ")[0] for line in github.commands(verdict)] == ["::warning"] * 3


def test_too_few_samples_leave_accuracy_open(net: Path) -> None:
    verdict = judge(net, net, _policy(accuracy="1%"), outcomes=([True] * 20, [True] * 20))
    assert _by_metric(verdict)["accuracy"].status == "inconclusive"
    assert verdict.exit_code == 3


@pytest.mark.parametrize(("name", "said"), [("crash-late", "signal 11"), ("hang-late", "no sign of life for 3 s")])
def test_a_runtime_that_crashes_or_hangs_is_an_error_about_its_file(
    net: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    said: str,
) -> None:
    plugin.install(tmp_path_factory.mktemp("plugin"), monkeypatch)
    bad = shutil.copy(net, tmp_path / f"{name}.onnx")
    with pytest.raises(InputError, match=said) as caught:
        deploy.gate(net, bad, runtime=plugin.NAME, budget=5, timeout=3)
    assert caught.value.where == str(bad)
    with pytest.raises(InputError, match=said) as caught:
        deploy.compare(net, bad, runtime=plugin.NAME, seconds=1, timeout=3)
    assert caught.value.where == str(bad)


def test_junit_has_a_case_for_every_metric(failed: Verdict) -> None:
    root = ElementTree.fromstring(junit.render(failed))
    (suite,) = root
    cases = {case.get("name"): [child.tag for child in case] for case in suite.iter("testcase")}
    assert cases == {
        "latency": ["failure"],
        "p90": [_kind(failed, "p90")],
        "memory": ["system-out"],
        "size": ["failure"],
        "macs": ["failure"],
        "accuracy": ["failure"],
    }
    assert suite.get("tests") == "6"
    assert suite.get("failures") == "4"
    odd = failed.model_copy(update={"base": failed.base.model_copy(update={"name": "a\x00\x1b<&.onnx"})})
    assert "a��<&.onnx" in str(ElementTree.fromstring(junit.render(odd))[0][1].get("classname"))


def _kind(verdict: Verdict, metric: str) -> str:
    return {"pass": "system-out", "fail": "failure"}.get(_by_metric(verdict)[metric].status, "error")


def test_markdown_has_a_row_for_every_metric_and_names_are_text(failed: Verdict) -> None:
    text = markdown.render(failed)
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0].strip("| ") for row in rows[2:]] == [each.metric for each in failed.findings]
    assert all(row.count("|") == 7 for row in rows)
    assert "<script>" not in text
    assert r"\|\*\_\<script\>" in text


def test_a_job_summary_is_added_to_and_annotations_are_escaped(failed: Verdict, tmp_path: Path) -> None:
    summary, output = tmp_path / "summary.md", tmp_path / "output"
    summary.write_text("before\n")
    github.publish(failed, {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_OUTPUT": str(output)})
    assert summary.read_text().startswith("before\n## Gate: FAIL")
    assert "status=fail\nexit-code=1\nslowdown=" in output.read_text()
    lines = github.commands(failed)
    assert lines[0].startswith("::error title=compress gate%3A latency FAIL::latency is larger by more than the 40 %25")
    assert all("\n" not in line for line in lines)


def test_outside_of_a_job_github_is_refused(failed: Verdict) -> None:
    with pytest.raises(InputError, match="GITHUB_STEP_SUMMARY"):
        github.publish(failed, {})


def test_more_memory_fails(net: Path, make_net: Callable[..., Path]) -> None:
    wide = make_net("wide.onnx", channels=160)
    verdict = judge(net, wide, policy.make({"latency": "900%", "memory": "20%", "budget": 3}))
    finding = _by_metric(verdict)["memory"]
    assert finding.status == "fail", finding.text
    assert finding.low is not None
    assert finding.low > 0.2
