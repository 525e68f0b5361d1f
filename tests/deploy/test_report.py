from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from compress.errors import InputError
from deploy import report
from deploy.report.text import change, escape, number

VERSION_1 = Path(__file__).parent / "data" / "report_v1.json"
HOSTILE_TAGS = ("<script>document.title", "<img src=x")


class _Page(HTMLParser):
    """Collects what a browser would see: tags with attributes, and text outside scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self.text += data + " "


def test_json_round_trip_keeps_everything(measured_report: report.Report, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    report.write_json(measured_report, path)
    assert report.read_json(path) == measured_report
    assert json.loads(path.read_text())["version"] == report.VERSION


def test_a_report_of_version_1_is_still_read_and_shown(tmp_path: Path) -> None:
    written = json.loads(VERSION_1.read_text())
    assert written["version"] == 1
    read = report.read_json(VERSION_1)
    assert read.version == report.VERSION
    assert [profile.p50.value for profile in read.profiles] == [each["p50"]["value"] for each in written["profiles"]]
    assert all(profile.p95 is None and profile.target == "here" for profile in read.profiles)
    assert read.gate is not None
    assert read.missing["engines"] == written["missing"]["engines"]
    assert read.missing["matrix"] == "report version 1 did not hold it"
    assert "Gate passed" in report.render_html(read)
    again = tmp_path / "again.json"
    report.write_json(read, again)
    assert report.read_json(again) == read


def test_json_keeps_figures_that_are_not_numbers(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    row = report.FigureRow(name="loss", unit="", before=math.nan, after=math.inf)
    report.write_json(report.Report(title="t", figures=[row]), path)
    back = report.read_json(path).figures[0]
    assert back.before is not None
    assert math.isnan(back.before)
    assert back.after == math.inf
    assert "not a number" in report.render_html(report.read_json(path))


def test_existing_file_is_kept_unless_overwriting_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        report.write_html(report.Report(title="t"), path, overwrite=False)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_truncated_json_is_one_line(measured_report: report.Report, share: float, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    text = measured_report.model_dump_json()
    path.write_text(text[: int(len(text) * share)])
    with pytest.raises(InputError, match=r"report.json: is not JSON, or is truncated") as raised:
        report.read_json(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"version": 3, "title": "t", "shiny": []}', "report version 3, this tool reads up to 2; upgrade"),
        ('{"version": true, "title": "t"}', "has no version"),
        ('{"version": 0, "title": "t"}', "never existed"),
        ('{"title": "t"}', "has no version"),
        ("[]", "has no version"),
        ('{"version": 1}', "title: Field required"),
        ('{"version": 1, "title": "t", "missing": [1]}', "missing: Input should be a valid dictionary"),
        ('{"version": 2, "title": "t", "points": [{"name": "a", "file": "a", "speed": 1}]}', "points.0.speed: Extra"),
        ('{"version": 1, "title": "t", "unknown": 1}', "unknown: Extra inputs"),
        ('{"version": 1, "title": "t", "layers": [{"name": 3}]}', "layers.0"),
        ("[" * 100_000, "is not JSON"),
        ("\x00\x01binary", "is not JSON"),
    ],
)
def test_what_is_no_report_is_refused_with_the_reason(content: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(content)
    with pytest.raises(InputError, match=re.escape(says)) as raised:
        report.read_json(path)
    assert "\n" not in str(raised.value)


def test_a_missing_report_or_a_folder_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(InputError, match="cannot be read"):
            report.read_json(path)


def test_hostile_names_stay_text(measured_report: report.Report) -> None:
    html = report.render_html(measured_report)
    page = _Page(html)
    assert not [tag for tag, _ in page.tags if tag in ("img", "iframe", "object", "embed", "base", "form")]
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert len([tag for tag, _ in page.tags if tag == "script"]) == 4
    assert not any(hostile in html for hostile in HOSTILE_TAGS)
    assert "<img src=x onerror=alert(2)>" in page.text


def test_page_points_at_nothing_outside(measured_report: report.Report) -> None:
    page = _Page(report.render_html(measured_report))
    links = [
        attributes[name] for _, attributes in page.tags for name in ("src", "href", "srcset") if name in attributes
    ]
    assert [link for link in links if link is None or not re.fullmatch("#[a-z]+", link)] == ["data:,"]
    policies = [
        a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies[0] is not None
    assert policies[0].startswith("default-src 'none'")


def test_every_section_is_filled_or_said_to_be_missing(measured_report: report.Report) -> None:
    empty = report.Report(
        title="Nothing yet", missing={"accuracy": "no data given", "engines": "--trt was not asked for"}
    )
    figures = empty.model_copy(update={"figures": measured_report.figures[:1]})
    text = _Page(report.render_html(figures)).text
    for line in (
        "no source: it was not said",
        "no steps: ",
        "no accuracy: no data given",
        "no latency: not measured",
        "no layers: ",
        "no verification: ",
        "no TensorRT engines: --trt was not asked for",
        "no gate verdict: the gate was not run",
        "no environment: ",
        "No gate verdict:",
    ):
        assert line in text, line
    assert "no figures: " in _Page(report.render_html(empty)).text
    full = _Page(report.render_html(measured_report)).text
    assert "no gate" not in full.lower()
    assert "no steps" not in full
    assert "compiled ahead of time, not executed" in full


def test_summary_says_what_came_of_it(measured_report: report.Report) -> None:
    html = report.render_html(measured_report)
    heading = re.search(r"<h1>(.*?)</h1>", html, re.DOTALL)
    assert heading is not None
    assert heading[1].startswith("50 % fewer MACs")
    assert "93.00 % → 92.00 %" in heading[1]
    assert "Gate passed" in html


def test_a_report_of_profiles_alone_leads_with_the_fastest(measured_report: report.Report) -> None:
    html = report.render_html(report.Report(title="t", profiles=measured_report.profiles))
    assert "<h1>Of 2 files, base.onnx takes" in html
    assert "no latency" not in html
    assert "No figures before and after" in report.render_html(report.Report(title="t"))


def test_an_accuracy_row_without_values_says_why() -> None:
    rows = [
        report.FigureRow(name="MACs", unit="count", before=2, after=1),
        report.FigureRow(name="accuracy", unit="share", better="higher", missing="accuracy unknown: no data given"),
    ]
    html = report.render_html(report.Report(title="t", figures=rows))
    assert "<h1>50 % fewer MACs, accuracy unknown (no data given).</h1>" in html
    assert html.count("accuracy unknown: no data given") == 2


def test_a_failed_gate_is_seen_at_the_top(measured_report: report.Report) -> None:
    assert measured_report.gate is not None
    failed = measured_report.gate.model_copy(update={"status": "fail", "exit_code": 1, "text": "FAIL: slower"})
    html = report.render_html(measured_report.model_copy(update={"gate": failed}))
    assert '<p class="banner bad"><strong>Gate failed:</strong> <span>slower</span></p>' in html


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (4_090_000_000, "count", "4.09 G"),
        (640, "count", "640"),
        (999_999, "count", "1.00 M"),
        (1_700_000, "bytes", "1.70 MB"),
        (0.9301, "share", "93.01 %"),
        (0.0512, "ms", "0.0512 ms"),
        (1234.5, "ms", "1234 ms"),
        (-0.5, "ms", "−0.500 ms"),
        (None, "ms", "—"),
        (math.nan, "ms", "not a number"),
        (0, "count", "0"),
    ],
)
def test_numbers_read_well(value: float | None, unit: str, text: str) -> None:
    assert number(value, unit) == text


@pytest.mark.parametrize(
    ("before", "after", "unit", "text"),
    [
        (2.0, 1.0, "count", "−50.0 %"),
        (1.0, 3.0, "ms", "+200 %"),
        (0.93, 0.925, "share", "−0.50 points"),
        (0.0, 1.0, "count", "—"),
        (1.0, 1.0, "count", "0.0 %"),
        (None, 1.0, "count", "—"),
    ],
)
def test_changes_read_well(before: float | None, after: float | None, unit: str, text: str) -> None:
    assert change(before, after, unit) == text


def test_what_cannot_be_encoded_is_replaced() -> None:
    assert escape("a\udcff\x00<b>") == "a\ufffd\ufffd&lt;b&gt;"
