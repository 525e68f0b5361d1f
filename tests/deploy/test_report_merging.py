"""Several reports as one."""

from __future__ import annotations

from deploy import report
from deploy.compatibility.records import Cell, Matrix
from deploy.records import Failure
from deploy.report import merged


def cell(runtime: str, outcome: str = "runs") -> Cell:
    return Cell(file="a.onnx", runtime=runtime, device="cpu", outcome=outcome)  # type: ignore[arg-type]


def test_what_there_may_be_many_of_is_put_together_once(measured_report: report.Report) -> None:
    first, second = measured_report.profiles
    failure = Failure(file="x", runtime="r", threads=1, batch=1, kind="hung", reason="it hangs")
    one = report.Report(title="one", profiles=[first], failures=[failure], matrix=Matrix(cells=[cell("a"), cell("b")]))
    other = report.Report(title="other", profiles=[first, second], matrix=Matrix(cells=[cell("b"), cell("c")]))
    both = merged([one, other])
    assert both.title == "one"
    assert both.profiles == [first, second]
    assert both.failures == [failure]
    assert both.matrix is not None
    assert [each.runtime for each in both.matrix.cells] == ["a", "b", "c"]


def test_of_what_there_is_one_the_first_that_has_it_counts(measured_report: report.Report) -> None:
    empty = report.Report(title="empty", missing={"gate": "not run", "layers": "unknown", "why": "not asked for"})
    rows = [report.FigureRow(name="MACs", unit="count", before=2, after=1)]
    both = merged([empty, report.Report(title="figures", figures=rows), measured_report])
    assert both.gate == measured_report.gate
    assert both.layers == measured_report.layers
    assert both.figures == rows
    assert both.missing == {"why": "not asked for"}


def test_one_report_stays_as_it_is(measured_report: report.Report) -> None:
    assert merged([measured_report]) == measured_report
