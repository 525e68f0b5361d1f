"""The page that explains a network: the picture, and the page in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.report.network import LayerBar, NetworkPage, Obstacle, WidthRow, render, write
from deploy.report.network.rails import place
from deploy.report.network.schema import Status
from deploy.report.network.stretches import stretches
from tests.deploy.browsing import CHROMIUM, Tags, addresses, browse, width_in_frame

STATUSES: tuple[Status, ...] = ("exact", "statistics-changing", "protected", "frozen")
NASTY = '</title><script>alert(1)</script>"><img src=x onerror=alert(2)>'


def page_of(count: int, *, name: str = "stage{}.block{}.convolution") -> NetworkPage:
    """A network of ``count`` layers: every fourth joins the one before the last, statuses in turn."""
    layers = [
        LayerBar(
            name=name.format(index // 12, index % 12),
            operator="conv2d",
            width=64,
            macs=1000 * (1 + index % 7),
            macs_left=100 * (index % 3),
            groups=[index - 2 if index % 4 == 3 else index],
            source="net.py:12",
        )
        for index in range(count)
    ]
    groups = [
        WidthRow(
            name=layer.name,
            status=STATUSES[index % 4],
            width=64,
            cell=1 + index % 2,
            layers=[other.name for other in layers if index in other.groups] or [layer.name],
            macs=layer.macs - layer.macs_left,
            reason="because of this and that" if index % 4 else None,
        )
        for index, layer in enumerate(layers)
    ]
    return NetworkPage(
        title="net.pt2",
        macs=sum(layer.macs for layer in layers),
        params=12345,
        layers=layers,
        groups=groups,
        obstacles=[Obstacle(operator="aten.odd.default", reason="no rule", places=["net.py:3"] * 5, macs=1000)],
        macs_of_obstacles=1000,
        ignore=["stage0.*"],
    )


@given(st.lists(st.lists(st.integers(0, 12), max_size=3, unique=True), min_size=1, max_size=30))
def test_lines_in_one_lane_never_touch_and_join_all_their_layers(groups: list[list[int]]) -> None:
    page = NetworkPage(
        title="",
        macs=0,
        params=0,
        groups=[],
        layers=[LayerBar(name="x", operator="linear", macs=0, macs_left=0, groups=mine) for mine in groups],
    )
    rails = place(page)
    assert {rail.group: list(rail.layers) for rail in rails} == {
        group: [index for index, mine in enumerate(groups) if group in mine] for group in {g for m in groups for g in m}
    }
    for one in rails:
        for other in rails:
            if one is not other and one.lane == other.lane:
                assert one.layers[-1] < other.layers[0] or other.layers[-1] < one.layers[0]


@given(st.lists(st.lists(st.sampled_from("abc1"), min_size=1, max_size=4).map(".".join), max_size=60))
def test_stretches_follow_each_other_and_cover_every_layer(names: list[str]) -> None:
    found = stretches(names)
    covered = [index for stretch in found for index in range(stretch.first, stretch.last + 1)]
    assert covered == list(range(len(names)))
    for stretch in found:
        assert all(names[index].startswith(stretch.names[0]) for index in range(stretch.first, stretch.last + 1))


def test_figures_that_are_not_quite_everything_do_not_read_so() -> None:
    layer = LayerBar(name="a", operator="linear", macs=1_000_000, macs_left=1)
    text = render(NetworkPage(title="t", macs=1_000_000, params=1, layers=[layer], groups=[]))
    assert "More than 99.9 % of the MACs" in text
    assert "&lt; 0.1 %, however much is pruned" in text


def test_what_is_not_there_is_not_explained() -> None:
    """The legend names the colours of this picture and no others; a network of nothing has no picture."""
    plain = page_of(4).model_copy(update={"obstacles": []})
    for group in plain.groups:
        group.status = "exact"
    html = render(plain)
    assert "cannot shrink" not in html
    assert "Operators without a rule" not in html
    empty = render(NetworkPage(title="t", macs=0, params=0, layers=[], groups=[]))
    assert "<svg" not in empty
    assert "nothing that multiplies" in empty


def test_the_same_page_twice_is_the_same() -> None:
    assert render(page_of(40)) == render(page_of(40))


def test_names_are_text_wherever_they_stand() -> None:
    page = page_of(6, name=NASTY + "{}.{}")
    page.title = NASTY
    page.facts = [(NASTY, NASTY)]
    page.ignore = [NASTY]
    page.obstacles = [Obstacle(operator=NASTY, reason=NASTY, places=[NASTY], macs=1)]
    for group in page.groups:
        group.reason = NASTY
    seen = Tags(render(page))
    assert "img" not in seen.names
    assert not [name for name in seen.attributes if name.startswith("on")]


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: the page is not tested in a browser")
class TestInBrowser:
    def test_it_runs_without_complaint_and_asks_for_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "net.html"
        page = page_of(60, name=NASTY + "{}.{}")
        write(page, path)
        log = tmp_path / "log.json"
        dom, said = browse(path.as_uri(), tmp_path / "profile", f"--log-net-log={log}")
        assert "Point at a layer or a line." in dom  # written by the page's script
        assert "CONSOLE" not in said
        assert addresses(log.read_text()) == []
        assert "img" not in Tags(dom).names

    @pytest.mark.parametrize(("width", "count"), [(390, 300), (1280, 300), (1280, 5)])
    def test_it_does_not_scroll_sideways(self, width: int, count: int, tmp_path: Path) -> None:
        path = tmp_path / "net.html"
        write(page_of(count), path)
        assert width_in_frame(path, width, tmp_path) <= width
