"""The report page as a reader uses it: pointing, clicking, choosing, sorting, with mouse and keyboard, in a browser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import report
from tests.deploy.browsing import CHROMIUM
from tests.deploy.chrome import Tab, browser
from tests.deploy.whole import whole

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: the page is not tested in a browser"
)
CARD = "document.getElementById('points-0-card')"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(scope="module")
def page(measured_report: report.Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "whole.html"
    report.write_html(whole(measured_report), path)
    return path


def point(chart: str, index: int) -> str:
    """The mark of a configuration in a chart: the one that holds its row."""
    return (
        f"[...document.querySelectorAll('#{chart} .scatterlayer .point')].find(mark => mark.__data__.data === {index})"
    )


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (400, False), (400, True)])
def test_it_renders_in_peace_and_asks_for_nothing(tab: Tab, page: Path, width: int, dark: bool) -> None:
    tab.open(page, width=width, dark=dark)
    assert tab.console == []
    assert tab.requests == [page.as_uri()]
    assert tab.run("document.documentElement.scrollWidth") <= width
    assert tab.run("document.title.startsWith('Network </script>')")
    assert tab.run("document.querySelectorAll('img').length") == 0
    drawn = set(tab.run("[...document.querySelectorAll('.js-plotly-plot')].map(chart => chart.id)"))
    for name in ("points-0-latency", "points-0-size", "latency", "operators-0", "why", "why-roofline", "devices",
                 "batch-0", "threads-0", "gate"):  # fmt: skip
        assert f"chart-{name}" in drawn


def test_pointing_at_a_configuration_shows_it_and_clicking_keeps_it(tab: Tab, page: Path) -> None:
    tab.open(page)
    assert "Point at a configuration" in tab.run(f"{CARD}.textContent")
    tab.point_at(point("chart-points-0-latency", 1))
    tab.wait(f"{CARD}.textContent.includes('criterion-1')", 20)
    hover = tab.run("document.querySelector('#chart-points-0-latency .hoverlayer').textContent")
    assert "net1.onnx" in hover
    assert "accuracy: 94.00 %" in hover
    tab.click(point("chart-points-0-size", 3))
    tab.wait(f"{CARD}.textContent.includes('criterion-3')", 20)
    assert "96.00 %" in tab.run(f"{CARD}.textContent")
    assert tab.run("document.querySelector('tr.picked').textContent.includes('net3.onnx')")
    tab.point_at(point("chart-points-0-latency", 0))
    tab.wait(f"{CARD}.textContent.includes('criterion-0')", 20)
    tab.point_at("document.querySelector('h1')")
    tab.wait(f"{CARD}.textContent.includes('criterion-3')", 20)
    assert tab.console == []


def test_a_configuration_is_chosen_with_the_keyboard(tab: Tab, page: Path) -> None:
    tab.open(page)
    button = "document.querySelectorAll('.pick')[2]"
    tab.run(f"{button}.focus()")
    tab.press("Enter")
    tab.wait(f"{CARD}.textContent.includes('criterion-2')", 20)
    assert tab.run(f"{button}.getAttribute('aria-pressed')") == "true"
    faded = tab.run(
        "[...document.querySelectorAll('#chart-points-0-latency .scatterlayer .point')]"
        ".map(mark => getComputedStyle(mark).opacity)"
    )
    assert sorted(set(faded)) == ["0.35", "1"]


def test_the_front_joins_what_nothing_dominates(tab: Tab, page: Path) -> None:
    tab.open(page)
    rows = tab.run(
        "[...document.querySelectorAll('#points tbody tr')].slice(0, 4).map(row => row.cells[5].textContent)"
    )
    assert rows == ["latency size", "latency size", "dominated", "latency size"]
    front = tab.run("document.getElementById('chart-points-0-latency').data.find(trace => trace.name === 'front').x")
    assert front == [2, 4, 6]


def test_a_device_is_chosen_and_its_charts_are_drawn_then(tab: Tab, page: Path) -> None:
    tab.open(page)
    drawn = "document.getElementById('chart-points-1-latency').classList.contains('js-plotly-plot')"
    assert tab.run(drawn) is False
    tab.run("document.querySelector('#points select').focus()")
    tab.run(
        "(choice => { choice.value = '1'; choice.dispatchEvent(new Event('change')); })"
        "(document.querySelector('#points select'))"
    )
    tab.wait(drawn, 20)
    assert tab.run("document.querySelectorAll('#points .panel')[0].offsetParent === null")
    assert tab.run("document.querySelector('#chart-points-1-latency svg').getBoundingClientRect().width") > 300


def test_tables_are_sorted_by_the_figures_and_what_is_unknown_comes_last(tab: Tab, page: Path) -> None:
    tab.open(page)
    table = "document.querySelector('[aria-label=\"Layers side by side\"] table')"
    times = f"[...{table}.tBodies[0].rows].map(row => row.cells[1].dataset.key)"
    assert tab.run(times) == ["0.3", "0.2", ""]
    head = f"{table}.querySelectorAll('.sort')[1]"
    tab.click(head)
    assert tab.run(times) == ["0.2", "0.3", ""]
    assert tab.run(f"{head}.closest('th').getAttribute('aria-sort')") == "ascending"
    tab.run(f"{head}.focus()")
    tab.press("Enter")
    assert tab.run(times) == ["0.3", "0.2", ""]
    assert tab.run(f"{head}.closest('th').getAttribute('aria-sort')") == "descending"


def test_no_cell_of_the_matrix_is_blank_or_told_by_colour_alone(tab: Tab, page: Path) -> None:
    tab.open(page)
    cells = tab.run(
        "[...document.querySelectorAll('#compatibility tbody tr')]"
        ".map(row => [...row.cells].map(cell => cell.innerText.trim()))"
    )
    assert len(cells) == 8
    assert all(cell for row in cells for cell in row)
    colours = tab.run("[...document.querySelectorAll('#compatibility .tag')].map(tag => getComputedStyle(tag).color)")
    assert len(set(colours)) == 4
    assert any("no result was recorded" in cell for cell in cells[0])


@pytest.mark.slow
def test_two_thousand_layers_do_not_hang_it(tab: Tab, measured_report: report.Report, tmp_path: Path) -> None:
    layers = [
        report.LayerRow(name=f"stage.{i}.conv", kind="conv2d", width_before=64, width_after=1 + i % 64, status="pruned",
                        macs_before=1000 + i, macs_after=500)
        for i in range(2000)
    ]  # fmt: skip
    path = tmp_path / "long.html"
    report.write_html(measured_report.model_copy(update={"layers": layers}), path)
    started = time.monotonic()
    tab.open(path)
    opened = time.monotonic() - started
    assert tab.console == []
    assert tab.run("document.querySelectorAll('#layers tbody tr').length") == 2000
    started = time.monotonic()
    tab.click("document.querySelectorAll('#layers th .sort')[3]")
    assert tab.run("document.querySelector('#layers tbody tr').cells[3].dataset.key") == "500"
    assert opened < 60, "it is far below on any machine, unless drawing is quadratic"
    assert time.monotonic() - started < 60
