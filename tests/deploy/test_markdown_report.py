"""The report as Markdown: it says what matters, and what comes from outside stays text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from compress.errors import InputError
from deploy import report
from deploy.compatibility.records import Cell, Matrix
from deploy.records import Failure
from deploy.report.markdown.text import code, table, text
from deploy.report.panels import groups
from tests.deploy.whole import whole

OURS = re.compile(r"^(</?(details|summary|sup|sub|br)>|<summary>[\w ,:]+</summary>|\s)+$")
NASTY = "a|b` <b>x</b> [y](http://example.org) ![z](u) @somebody #12 **bold** \\| <!-- \n# heading\n- item \u202e $x$"
NAMES = st.text(st.sampled_from("ab |`\\<>[]()!*_~&#@$\n\r\t-+=1.:/\u202e\u2028é"), max_size=30)


def tokens(markdown: str) -> list[Token]:
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return [inner for outer in parser.parse(markdown) for inner in (outer, *(outer.children or []))]


def shown(found: list[Token]) -> str:
    return "".join(token.content for token in found if token.type in ("text", "code_inline", "html_inline"))


def plain(name: str) -> str:
    return " ".join(name.split()).replace("\u202e", "\ufffd")


@given(NAMES)
def test_any_name_is_text_of_one_cell(name: str) -> None:
    found = tokens(table(["a", "b"], [[code(name), text(name)]]))
    kinds = {token.type for token in found if token.type not in ("inline", "text", "code_inline")}
    assert kinds <= {
        f"{part}_{end}" for part in ("table", "thead", "tbody", "tr", "th", "td") for end in ("open", "close")
    }
    assert sum(token.type == "td_open" for token in found) == 2
    assert [token.content.replace("\u2060", "") for token in found if token.type == "code_inline"] == [
        plain(name) or " "
    ]


@given(NAMES)
def test_any_text_is_a_paragraph(name: str) -> None:
    found = tokens(f"before\n\n{text(name)}\n\nafter")
    assert {token.type for token in found} <= {"paragraph_open", "paragraph_close", "inline", "text"}
    assert shown(found).replace("\u2060", "") == f"before{plain(name)}after"


def test_text_mentions_nobody_and_links_nowhere() -> None:
    said = text("@team see #12 and GH-3 at https://example.org or www.example.org or a@b.org")
    for what in ("@team", "#12", "GH-3", "https://", "www.e", "a@b"):
        assert what not in said
    assert "\N{WORD JOINER}" in said


def test_a_measured_report_is_safe_whatever_names_it_holds(measured_report: report.Report) -> None:
    shown = whole(measured_report, hostile=NASTY).model_copy(update={"title": NASTY})
    found = tokens(report.render_markdown(shown))
    for token in found:
        assert token.type not in ("link_open", "image", "fence", "code_block", "hr", "s_open", "em_open"), token
        if token.type.startswith("html"):
            assert OURS.match(token.content), token.content


def test_the_verdict_comes_first_and_details_are_folded(measured_report: report.Report) -> None:
    said = report.render_markdown(measured_report)
    lines = [line for line in said.splitlines() if line]
    assert lines[0].startswith("## Network")
    assert lines[1].startswith("✅ **Gate passed:**")
    assert lines[2].startswith("**50 % fewer MACs")
    assert said.index("| MACs |") < said.index("<details>")
    assert said.count("<details>") == said.count("</details>") >= 5
    assert "| accuracy | 93.00 % | 92.00 % | −1.00 points |" in said
    assert "Layers: 3 pruned, 1 protected" in said


def test_failures_and_what_does_not_run_are_not_folded_away() -> None:
    failure = Failure(
        file="a.onnx", runtime="r", target="pi", threads=1, batch=8, kind="crashed", reason="crashed with signal 11"
    )
    cells = [
        Cell(file="a.onnx", runtime="r", device="cpu", outcome="runs", measured=True),
        Cell(file="b.onnx", runtime="r", device="sm 8.6", outcome="refused", reason="no Foo"),
    ]
    said = report.render_markdown(report.Report(title="t", failures=[failure], matrix=Matrix(cells=cells)))
    unfolded = re.sub("(?s)<details>.*?</details>", "", said)
    assert "crashed with signal 11" in unfolded
    assert "| r | cpu | ✅ runs | ▫️ not tested here |" in unfolded
    assert "| r | sm 8.6 | ▫️ not tested here | ❌ refused |" in unfolded
    assert "no Foo" in said
    assert "not tested here" not in unfolded.partition("| r | sm 8.6")[2].partition("refused |")[2]


def test_what_is_so_for_all_files_is_said_once() -> None:
    cells = [
        Cell.model_validate(
            {
                "file": file,
                "runtime": runtime,
                "device": device,
                "outcome": outcome,
                "reason": f"because of {runtime}",
            }
        )
        for file in ("a.onnx", "b.onnx")
        for runtime, device, outcome in (
            ("one", "gpu", "not tested here"),
            ("two", "sm 8.6", "compiles"),
            ("two", "sm 8.9", "compiles"),
            ("two", "sm 7.5", "refused"),
        )
    ]
    said = report.render_markdown(report.Report(title="t", matrix=Matrix(cells=cells)))
    assert "Not tested here: one (gpu)." in said
    assert "| two | sm 8.6, 8.9 | 🟡 compiles | 🟡 compiles |" in said
    assert "| two | sm 7.5 | ❌ refused | ❌ refused |" in said
    assert said.count("because of one") == 1
    assert "| all | two on sm 7.5 | refused | because of two |" in said


def test_what_was_not_measured_alike_stands_in_different_tables(measured_report: report.Report) -> None:
    shown = whole(measured_report)
    said = report.render_markdown(report.Report(title="t", profiles=shown.profiles))
    assert "Figures of different tables were not measured alike" in said
    assert said.count("| file | p50 |") == len(groups(shown.profiles)) == 4
    alike = report.render_markdown(report.Report(title="t", profiles=measured_report.profiles))
    assert "not measured alike" not in alike
    assert alike.count("| file | p50 |") == 1


def test_two_thousand_layers_fit_into_a_comment() -> None:
    layers = [
        report.LayerRow(name=f"stage.{i}.conv", kind="conv2d", width_before=64, width_after=32, status="pruned",
                        macs_before=1000 + i, macs_after=500)
        for i in range(2000)
    ]  # fmt: skip
    said = report.render_markdown(report.Report(title="t", layers=layers))
    assert len(said) < 65536
    assert "Layers: 2000 pruned" in said
    assert "`stage.1999.conv`" in said
    assert "The 40 that saved most" in said


def test_the_ending_decides_the_form(measured_report: report.Report, tmp_path: Path) -> None:
    for name, starts in (("r.md", "## "), ("r.html", "<!DOCTYPE html>"), ("r.json", "{")):
        report.write(measured_report, tmp_path / name)
        assert (tmp_path / name).read_text().startswith(starts)
    with pytest.raises(InputError, match=r"ends in \.html, \.md or \.json"):
        report.write(measured_report, tmp_path / "r.txt")
