"""Widths of ONNX files: which channels belong together, and files with other widths."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from deploy.why import costs, graph, widths
from tests.deploy.why import nets

SHAPE = (1, 3, 56, 56)


def outputs(path: Path) -> np.ndarray:
    picture = np.random.default_rng(3).standard_normal(SHAPE).astype(np.float32)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {"x": picture})[0]
    return found


@pytest.fixture
def read(tmp_path: Path) -> graph.Graph:
    return graph.read(nets.mobile(tmp_path / "net.onnx", nets.UNROUNDED), {"x": SHAPE})


def test_every_width_is_found_once(read: graph.Graph) -> None:
    found = widths.find(read)
    free = {width.name: width.size for width in found if not width.fixed}
    # Blocks 1, 3 and 5 add their input: their outputs are the width of the block before.
    hidden = {f"blocks.{at}.expand.weight": size for at, (size, _) in enumerate(nets.UNROUNDED)}
    made = {f"blocks.{at}.project.weight": nets.UNROUNDED[at][1] for at in (0, 2, 4)}
    assert free == {"stem.weight": 16} | hidden | made
    assert [width.name for width in found if width.fixed] == ["head.weight"]


def test_growing_keeps_the_function(read: graph.Graph, tmp_path: Path) -> None:
    found = widths.find(read)
    sizes = {width.name: width.size + 1 + at for at, width in enumerate(found) if not width.fixed}
    grown = tmp_path / "grown.onnx"
    onnx.save(widths.resize(read, sizes, found), str(grown))
    dense = outputs(tmp_path / "net.onnx")
    assert np.abs(dense).max() > 1e-3
    np.testing.assert_allclose(outputs(grown), dense, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("step", [1, -3])
def test_the_macs_of_other_widths_are_those_of_the_file_made_so(read: graph.Graph, tmp_path: Path, step: int) -> None:
    found = widths.find(read)
    sizes = {width.name: width.size + step for width in found if not width.fixed}
    resized = tmp_path / "resized.onnx"
    onnx.save(widths.resize(read, sizes, found), str(resized))
    again = graph.read(resized, {"x": SHAPE})
    counted = sum(costs.macs(node, again) or 0 for node in again.model.graph.node)
    assert widths.multiply_adds(read, sizes, found) == counted
    assert np.isfinite(outputs(resized)).all()


def test_what_is_joined_end_to_end_or_reshaped_is_fixed(tmp_path: Path) -> None:
    made = nets.Builder()
    first = made.convolution("first", (6, 3, 1, 1))
    made.last = "x"
    second = made.convolution("second", (10, 3, 1, 1))
    made.add("Concat", [first, second], "joined", axis=1)
    made.convolution("third", (8, 16, 1, 1))
    made.add("Reshape", [made.last, made.constant("shape", [1, 4, 2, 64])], "reshaped")
    read = graph.read(made.save(tmp_path / "n.onnx", [1, 3, 8, 8]), {"x": (1, 3, 8, 8)})
    found = widths.find(read)
    assert {width.name: width.fixed for width in found} == {
        "first.weight": True,
        "second.weight": True,
        "third.weight": True,
    }
    with pytest.raises(ValueError, match="first"):
        widths.resize(read, {"first.weight": 8}, found)
