"""Explanations of networks that have one thing about them. Nothing here asserts an absolute time."""

from __future__ import annotations

from pathlib import Path

import pytest

from compress.errors import InputError, UnavailableError
from deploy.why.advice import threads
from deploy.why.explaining import explain
from deploy.why.records import Explanation, Row
from tests.deploy.why import nets

SECONDS = 1.0


def row(found: Explanation, name: str) -> Row:
    return next(row for row in found.rows if row.name == name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("why")


@pytest.fixture(scope="module")
def dense(folder: Path) -> Path:
    return nets.mobile(folder / "dense.onnx", nets.DENSE, stem=32, picture=112)


@pytest.fixture(scope="module")
def unrounded(folder: Path, dense: Path) -> Explanation:
    path = nets.mobile(folder / "unrounded.onnx", nets.UNROUNDED, stem=18, picture=112)
    return explain(dense, path, seconds=4 * SECONDS)


@pytest.fixture(scope="module")
def rounded(folder: Path, dense: Path) -> Explanation:
    path = nets.mobile(folder / "rounded.onnx", nets.ROUNDED, picture=112)
    return explain(dense, path, seconds=4 * SECONDS)


def test_layers_lie_side_by_side(unrounded: Explanation) -> None:
    layer = row(unrounded, "blocks.0.expand")
    assert layer.base is not None
    assert layer.new is not None
    assert (layer.base.width, layer.new.width) == (96, 51)
    assert layer.base.macs == 56 * 56 * 32 * 96
    assert layer.new.macs == 56 * 56 * 18 * 51
    layers = {row.name for row in unrounded.rows if row.base and row.base.macs}
    assert layers == {"stem", "head"} | {
        f"blocks.{at}.{kind}" for at in range(6) for kind in ("expand", "depthwise", "project")
    }


def test_the_account_adds_up(unrounded: Explanation) -> None:
    spent = sum(row.new.milliseconds for row in unrounded.rows if row.new)
    promised = 0.0
    for found in unrounded.rows:
        if found.base and found.new and found.base.macs and found.new.macs is not None:
            promised += found.base.milliseconds * found.new.macs / found.base.macs
    without = [row for row in unrounded.rows if row.base and row.new and not row.base.macs]
    slack = sum(max(row.base.milliseconds, row.new.milliseconds) for row in without if row.base and row.new)
    assert sum(cause.milliseconds for cause in unrounded.causes) == pytest.approx(spent - promised, abs=slack + 1e-6)


def test_unrounded_widths_are_remarked_on(unrounded: Explanation) -> None:
    if unrounded.peak.block is None:
        pytest.skip("the runtime has no blocks of channels on this machine")
    remarks = row(unrounded, "blocks.1.depthwise").remarks
    assert f"83 channels are no multiple of {unrounded.peak.alignment}" in remarks[0]
    assert "widths that do not fit" in unrounded.verdict
    assert any(cause.name.startswith("widths that do not fit") and cause.milliseconds > 0 for cause in unrounded.causes)
    copies = [row for row in unrounded.rows if row.extra and row.base is None]
    assert {kind for copy in copies if copy.new for kind in copy.new.kinds} & {"ReorderInput", "ReorderOutput"}
    assert unrounded.extras["unrounded.onnx"]


def test_the_advice_names_rounding_and_was_measured(unrounded: Explanation) -> None:
    if unrounded.peak.block is None:
        pytest.skip("the runtime has no blocks of channels on this machine")
    best = unrounded.advice[0]
    assert best.change.startswith("round widths to multiples of ")
    assert "--granularity" in best.change
    assert best.measured is not None
    assert best.low is not None
    assert best.low > 0
    assert best.saves > 0.1 * unrounded.new_ms


def test_rounded_widths_are_not_sent_to_be_rounded_to_a_smaller_step(rounded: Explanation) -> None:
    remarks = [remark for row in rounded.rows for remark in row.remarks]
    assert not any("no multiple of" in remark for remark in remarks)
    assert not any("multiples of 4" in advice.change for advice in rounded.advice)
    assert rounded.ratio is not None
    assert rounded.ratio < 0.9


def test_copies_in_the_file_are_extras(folder: Path) -> None:
    plain = nets.copying(folder / "plain.onnx", copies=False)
    copied = nets.copying(folder / "copied.onnx", copies=True)
    found = explain(plain, copied, seconds=SECONDS)
    kinds = {kind for row in found.rows if row.extra and row.new for kind in row.new.kinds}
    assert {"Transpose", "Cast"} <= kinds
    assert any("Transpose" in text for text in found.extras["copied.onnx"])
    assert not any("Transpose" in text or "Cast" in text for text in found.extras["plain.onnx"])
    assert "copies" in found.verdict
    assert any("Transpose" in advice.change for advice in found.advice)


def bound_time(found: Explanation) -> dict[str, float]:
    shares: dict[str, float] = {}
    for each in found.rows:
        if each.new is not None:
            shares[each.new.bound] = shares.get(each.new.bound, 0.0) + each.new.milliseconds
    total = sum(shares.values())
    return {bound: value / total for bound, value in shares.items()}


def test_a_tiny_network_is_bound_by_overhead(folder: Path) -> None:
    path = nets.tiny(folder / "tiny.onnx")
    found = explain(path, path, seconds=SECONDS)
    assert bound_time(found)["overhead"] > 0.8
    assert any(advice.change.startswith("merge or leave out operators") for advice in found.advice)


def test_a_large_product_is_bound_by_compute_and_needs_no_advice(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_processors", lambda: 1)
    path = nets.product(folder / "product.onnx")
    found = explain(path, path, seconds=SECONDS)
    assert bound_time(found) == {"compute": 1.0}
    assert found.advice == []
    assert found.base_macs == found.new_macs == 768**3


def test_large_tensors_are_bound_by_memory(folder: Path) -> None:
    path = nets.elementwise(folder / "elements.onnx")
    found = explain(path, path, seconds=SECONDS)
    # On a machine that is busy with other things an operator may be far from the roof that was measured before.
    assert {"memory"} <= set(bound_time(found)) <= {"memory", "unknown"}


def test_files_that_cannot_be_compared_are_refused(folder: Path, dense: Path) -> None:
    other = nets.product(folder / "other.onnx", size=8)
    with pytest.raises(InputError, match="inputs"):
        explain(dense, other, seconds=SECONDS)
    with pytest.raises(InputError, match="does not exist"):
        explain(dense, folder / "nowhere.onnx", seconds=SECONDS)
    with pytest.raises(InputError, match="seconds"):
        explain(dense, dense, seconds=0)
    with pytest.raises(UnavailableError):
        explain(dense, dense, runtime="onnxruntime-coreml", seconds=SECONDS)
    engine = folder / "net.engine"
    engine.write_bytes(b"engine")
    with pytest.raises(InputError, match="engine"):
        explain(dense, engine, seconds=SECONDS)
