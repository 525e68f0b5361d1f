"""Pages in a headless browser that reaches no network."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

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


def browse(address: str, profile: Path, *flags: str) -> tuple[str, str]:
    """Return the page's final DOM and the browser's log."""
    command = [str(CHROMIUM), *_FLAGS, f"--user-data-dir={profile}", *flags, "--dump-dom", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    return done.stdout, done.stderr


def width_in_frame(page: Path, width: int, folder: Path) -> int:
    """How wide the page's content is where ``width`` pixels are given to it."""
    # A frame has exactly the width it is given; headless windows are never narrower than 500.
    frame = folder / "frame.html"
    shutil.copy(page, folder / "framed.html")
    frame.write_text(
        f'<iframe id="f" src="framed.html" style="border:0;width:{width}px;height:900px"></iframe><script>'
        "f.onload=()=>setTimeout(()=>{const d=f.contentDocument.documentElement;"
        "document.body.dataset.wide=d.scrollWidth},1500)</script>"
    )
    dom, _ = browse(frame.as_uri(), folder / "profile", "--allow-file-access-from-files")
    measured = re.search(r'data-wide="(\d+)"', dom)
    assert measured is not None
    return int(measured[1])


def addresses(log: str) -> list[str]:
    """Return the addresses that the page asked for; what the browser asks of its own accord has no origin."""
    starts = re.findall(r'"initiator":"([^"]*)"[^\n]*?"url":"((?:https?|wss?|ftp):[^"]+)"', log)
    return sorted({address for initiator, address in starts if initiator != "not an origin"})


class Tags(HTMLParser):
    """The names of all elements and attributes of a page, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.links: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links |= {value or "" for name, value in attrs if name in ("href", "src", "action", "data")}
