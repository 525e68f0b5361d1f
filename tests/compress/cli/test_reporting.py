"""``compress report`` with several candidates, with one that cannot run, and from a report that was written earlier."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import onnx as onnx_package
import pytest
from onnx import TensorProto, helper

from deploy.report import VERSION, read_json
from tests.compress.cli.calling import Cli

QUICK = ("--seconds", "0.2", "--budget", "2")
VERSION_1 = Path(__file__).parents[2] / "deploy" / "data" / "report_v1.json"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A report of an older version in the folder that commands run in."""
    return Path(shutil.copy(VERSION_1, tmp_path / "old.json"))


def test_several_candidates_are_points_and_the_first_stands_beside_the_baseline(
    cli: Cli, pair: tuple[Path, Path]
) -> None:
    third = shutil.copy(pair[0], "third.onnx")
    ended = cli("report", *pair, third, "--data", "digits", *QUICK, "-o", "r.json", "-o", "r.md", "-o", "r.html")
    assert ended.code == 0, ended.err
    report = read_json("r.json")
    assert [point.name for point in report.points] == ["net.onnx", "net.pruned.onnx", "third.onnx"]
    assert [point.role for point in report.points] == ["baseline", "candidate", "candidate"]
    dense, small, other = report.points
    assert all(point.accuracy is not None and point.data == "digits" for point in report.points)
    assert all(point.latency is not None and point.conditions is not None for point in report.points)
    assert dense.macs is not None
    assert small.macs is not None
    assert small.macs < dense.macs
    assert small.configuration["pruned"]["target"] == "macs=0.5"
    assert "widths cut" in small.configuration
    assert other.macs is None
    assert other.missing["macs"] == "no network file is known for this file"
    assert report.comparison is not None
    assert report.comparison.new.name == "net.pruned.onnx"
    assert all(profile.operators for profile in report.profiles)
    assert "### Configurations" in Path("r.md").read_text()
    assert "chart-points-0-latency" in Path("r.html").read_text()
    assert "third.onnx" in ended.out


def test_a_candidate_that_cannot_run_is_a_failure_and_the_rest_is_reported(cli: Cli, onnx: Path) -> None:
    node = helper.make_node("NoSuchOperator", ["x"], ["y"])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in ("x", "y")]
    graph = helper.make_graph([node], "net", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx_package.save(model, "odd.onnx")
    ended = cli("report", onnx, "odd.onnx", *QUICK)
    assert ended.code == 0, ended.err
    assert "not measured: odd.onnx in onnxruntime-cpu: refused" in ended.out
    report = read_json("report.json")
    assert [failure.file for failure in report.failures] == ["odd.onnx"]
    assert [profile.file.name for profile in report.profiles] == ["net.onnx"]
    assert report.missing["gate"] == "odd.onnx could not be measured"
    assert report.points[1].missing["latency"].startswith("refused: ")
    assert "odd.onnx could not be measured" in Path("report.html").read_text()
    cli("report", "odd.onnx", "odd.onnx", *QUICK, "-o", "none.html").refused("odd.onnx", "NoSuchOperator")
    assert not Path("none.html").exists()


def test_two_files_of_one_name_are_not_mixed_up(cli: Cli, onnx: Path) -> None:
    Path("other").mkdir()
    shutil.copy(onnx, "other/net.onnx")
    cli("report", onnx, "other/net.onnx", *QUICK).refused("other/net.onnx", "same name")


def test_an_earlier_report_is_written_in_another_form_without_measuring(cli: Cli, written: Path) -> None:
    ended = cli("report", "--from", written, "-o", "page.html", "-o", "page.md", "-o", "new.json", "--title", "Again")
    assert ended.code == 0, ended.err
    assert "Again" in Path("page.html").read_text()
    assert Path("page.md").read_text().startswith("## Again")
    assert read_json("new.json").version == VERSION
    assert read_json("new.json").profiles == read_json(written).profiles
    assert cli("report", "--from", written).code == 0
    assert written.with_suffix(".html").is_file()
    cli("report", "--from", written).refused("old.html", "--force")


def test_several_earlier_reports_become_one(cli: Cli, written: Path, onnx: Path) -> None:
    assert cli("compatibility", onnx, "--runtime", "onnxruntime-cpu", "--no-compile", "-o", "matrix.json").code == 0
    ended = cli("report", "--from", written, "--from", "matrix.json", "-o", "both.json", "-o", "both.html")
    assert ended.code == 0, ended.err
    both = read_json("both.json")
    assert both.profiles == read_json(written).profiles
    assert both.matrix == read_json("matrix.json").matrix
    assert "matrix" not in both.missing
    cli("report", "--from", written, "--from", "none.json", "-o", "x.html").refused("none.json")


@pytest.mark.slow
def test_parts_that_take_long_are_had_on_request(cli: Cli, pair: tuple[Path, Path]) -> None:
    ended = cli("report", *pair, *QUICK, "--with", "why", "-o", "r.json")
    assert ended.code == 0, ended.err
    report = read_json("r.json")
    assert report.why is not None
    assert report.why.new.name == "net.pruned.onnx"
    assert report.why.rows
    assert report.missing["matrix"] == "not asked for (--with compatibility)"


def test_what_is_no_report_is_refused_before_anything_is_written(cli: Cli, written: Path) -> None:
    text = written.read_text()
    Path("cut.json").write_text(text[: len(text) // 2])
    cli("report", "--from", "cut.json", "-o", "page.html").refused("cut.json", "truncated")
    Path("new.json").write_text(text.replace('"version": 1', f'"version": {VERSION + 1}', 1))
    cli("report", "--from", "new.json", "-o", "page.html").refused("new.json", "upgrade this tool")
    cli("report", "--from", "none.json", "-o", "page.html").refused("none.json")
    cli("report", "--from", written, "-o", "page.pdf").refused("page.pdf", ".md")
    cli("report", "--from", written, "-o", "a.md", "-o", "a.md").refused("twice")
    assert not Path("page.html").exists()


def test_a_page_that_cannot_be_drawn_is_refused_before_anything_is_measured(
    cli: Cli, written: Path, onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    cli("profile", onnx, "-o", "page.html").refused("plotly", "-o report.md", code=4)
    assert cli("report", "--from", written, "-o", "page.md").code == 0


def test_what_only_measuring_takes_is_refused_with_an_earlier_report(cli: Cli, written: Path, onnx: Path) -> None:
    cli("report", "--from", written, onnx).refused("--from", "files")
    cli("report", "--from", written, "--seconds", "1", "--data", "digits").refused("--from", "--data, --seconds")
    cli("report", onnx).refused("BASELINE", "--from")
    cli("report").refused("BASELINE")
