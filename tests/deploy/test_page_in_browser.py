"""The report page in a real browser: it renders, says nothing on the console and asks the network for nothing."""

from __future__ import annotations

import http.server
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from deploy import report

_CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    _CHROMIUM is None, reason="chromium is not installed: the page is not tested in a browser"
)

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=10000",
    "--enable-logging=stderr",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)


def _browse(address: str, profile: Path, *flags: str) -> tuple[str, str]:
    """Return the page's final DOM and the browser's log."""
    command = [str(_CHROMIUM), *_FLAGS, f"--user-data-dir={profile}", *flags, "--dump-dom", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    return done.stdout, done.stderr


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
    dom, said = _browse(page.as_uri(), folder / "profile", f"--log-net-log={log}")
    return dom, said, _addresses(log.read_text())


def _addresses(log: str) -> list[str]:
    """Return the addresses that the page asked for; what the browser asks of its own accord has no origin."""
    starts = re.findall(r'"initiator":"([^"]*)"[^\n]*?"url":"((?:https?|wss?|ftp):[^"]+)"', log)
    return sorted({address for initiator, address in starts if initiator != "not an origin"})


class _Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}


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
    tags = _Tags(seen[0])
    assert "img" not in tags.names
    assert not [name for name in tags.attributes if name.startswith("on")]
    assert "<title>owned" not in seen[0]


def test_page_without_any_content_renders(tmp_path: Path) -> None:
    path = tmp_path / "empty.html"
    report.write_html(report.Report(title="Nothing yet"), path)
    dom, said = _browse(path.as_uri(), tmp_path / "profile")
    assert "CONSOLE" not in said
    assert "no figures: " in dom


@pytest.mark.parametrize("width", [390, 1280])
def test_page_does_not_scroll_sideways(page: Path, width: int, tmp_path: Path) -> None:
    # A frame has exactly the width it is given; headless windows are never narrower than 500.
    frame = tmp_path / "frame.html"
    shutil.copy(page, tmp_path / "report.html")
    frame.write_text(
        f'<iframe id="f" src="report.html" style="border:0;width:{width}px;height:900px"></iframe><script>'
        "f.onload=()=>setTimeout(()=>{const d=f.contentDocument.documentElement;"
        "document.body.dataset.wide=d.scrollWidth},1500)</script>"
    )
    dom, _ = _browse(frame.as_uri(), tmp_path / "profile", "--allow-file-access-from-files")
    measured = re.search(r'data-wide="(\d+)"', dom)
    assert measured is not None
    assert int(measured[1]) <= width


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
    _browse(guarded.as_uri(), tmp_path / "one")
    assert asked == []
    log = tmp_path / "net.json"
    _browse(bare.as_uri(), tmp_path / "two", f"--log-net-log={log}")
    assert "/image" in asked
    assert f"{address}/image" in _addresses(log.read_text())
