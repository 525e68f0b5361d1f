"""The report page in a real browser: it renders, says nothing on the console and asks the network for nothing."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import report
from tests.deploy.browsing import CHROMIUM, Tags, addresses, browse, width_in_frame

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: the page is not tested in a browser"
)


@pytest.fixture(scope="module")
def page(measured_report: report.Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    report.write_html(measured_report, path)
    return path


@pytest.fixture(scope="module")
def seen(page: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, list[str]]:
    """The DOM, the log, and every address that the page asked the network for."""
    folder = tmp_path_factory.mktemp("browser")
    log = folder / "net.json"
    dom, said = browse(page.as_uri(), folder / "profile", f"--log-net-log={log}")
    return dom, said, addresses(log.read_text())


def test_all_charts_are_drawn(seen: tuple[str, str, list[str]]) -> None:
    dom = seen[0]
    assert 'data-charts="5"' in dom
    assert len(re.findall(r'<svg class="main-svg"', dom)) >= 5
    for identifier in ("chart-ratios", "chart-widths", "chart-latency", "chart-pairs", "chart-gate"):
        assert re.search(
            rf'id="{identifier}"[^>]*class="[^"]*js-plotly-plot|class="[^"]*js-plotly-plot[^>]*id="{identifier}"', dom
        )


def test_console_is_silent(seen: tuple[str, str, list[str]]) -> None:
    assert [line for line in seen[1].splitlines() if "CONSOLE" in line] == []


def test_network_is_not_asked(seen: tuple[str, str, list[str]]) -> None:
    assert seen[2] == []


def test_hostile_names_do_not_run(seen: tuple[str, str, list[str]]) -> None:
    tags = Tags(seen[0])
    assert "img" not in tags.names
    assert not [name for name in tags.attributes if name.startswith("on")]
    assert "<title>owned" not in seen[0]


def test_page_without_any_content_renders(tmp_path: Path) -> None:
    path = tmp_path / "empty.html"
    report.write_html(report.Report(title="Nothing yet"), path)
    dom, said = browse(path.as_uri(), tmp_path / "profile")
    assert "CONSOLE" not in said
    assert "no figures: " in dom


@pytest.mark.parametrize("width", [390, 1280])
def test_page_does_not_scroll_sideways(page: Path, width: int, tmp_path: Path) -> None:
    assert width_in_frame(page, width, tmp_path) <= width


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """A web server on loopback that notes what it is asked for."""
    asked: list[str] = []

    class Note(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Note)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()


def test_policy_stops_requests_even_if_something_tries(
    page: Path, tmp_path: Path, listener: tuple[str, list[str]]
) -> None:
    address, asked = listener
    attempt = f'<img src="{address}/image"><script>fetch("{address}/fetch").catch(()=>0)</script>'
    guarded, bare = tmp_path / "guarded.html", tmp_path / "bare.html"
    guarded.write_text(page.read_text().replace("</main>", f"{attempt}</main>"))
    bare.write_text(attempt)
    browse(guarded.as_uri(), tmp_path / "one")
    assert asked == []
    log = tmp_path / "net.json"
    browse(bare.as_uri(), tmp_path / "two", f"--log-net-log={log}")
    assert "/image" in asked
    assert f"{address}/image" in addresses(log.read_text())
