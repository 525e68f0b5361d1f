"""The front of a search in the report: chart, card, table, headline; nothing hostile gets out of its place."""

from __future__ import annotations

import json
import re
from typing import Any

from deploy import report
from deploy.report.schema import Search, Trial
from deploy.report.searching import search_html
from tests.deploy.conftest import HOSTILE


def _report(**changes: Any) -> report.Report:
    front = [
        Trial(number=4, loss=0.9, cost=2.0, not_dominated=True, configuration={"channels": {HOSTILE: 4}}),
        Trial(number=1, loss=0.5, cost=4.0, not_dominated=True, final="trial1.onnx", measured=4.1),
    ]
    others = [Trial(number=2, loss=0.9, cost=3.0)]
    found = Search(cost="latency", unit="ms", dense=8.0, dense_loss=0.4, trials=[*front, *others],
                   settings={"data": HOSTILE})  # fmt: skip
    return report.Report(title="Search", search=found.model_copy(update=changes))


def test_the_chart_has_every_candidate_and_the_card_those_of_the_front() -> None:
    drawn: dict[str, Any] = {}
    page = search_html(_report(), drawn)
    figure = drawn["chart-search"]
    traces = {trace["name"]: trace for trace in figure["data"]}
    assert (traces["front"]["x"], traces["front"]["y"]) == ([2.0, 4.0], [0.9, 0.5])
    assert traces["other candidates"]["x"] == [3.0]
    assert "customdata" not in traces["other candidates"]
    assert (traces["not dominated"]["customdata"], traces["final model made"]["customdata"]) == ([0], [1])
    assert traces["whole network"]["x"] == [8.0]
    rows = [dict(row) for row in figure["details"]["rows"]]
    assert [row["trial"] for row in rows] == ["4", "1"]
    assert rows[1]["measured"] == "4.10 ms"
    assert page.count('class="pick"') == 2
    assert "50.00 %" in page
    assert HOSTILE not in page


def test_without_a_search_the_section_says_so_and_a_page_of_one_is_whole() -> None:
    assert "no search: no search was made" in search_html(report.Report(title="x"), {})
    page = report.render_html(_report())
    assert "2 of 3 candidates are not dominated, from 25 to 50 % of the whole network" in page
    assert "1 final model." in page
    assert HOSTILE not in page
    charts = re.search(r'<script type="application/json" id="charts">(.*?)</script>', page, re.DOTALL)
    assert charts is not None
    assert list(json.loads(charts[1])) == ["chart-search"]
    assert "2 of 3 candidates" in report.render_markdown(_report())


def test_a_front_without_a_dense_cost_or_others_is_shown() -> None:
    drawn: dict[str, Any] = {}
    assert "The front" in search_html(_report(dense=0.0, dense_loss=None), drawn)
    assert report.merged([report.Report(title="a"), _report()]).search == _report().search
