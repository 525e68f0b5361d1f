"""Files cut from the dense one are those that the network, cut and exported, would have become."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

import compress
import exporters
from compress.axes.analysis import Analysis, analyse
from compress.axes.randomise import randomised
from compress.latency.layers import Layers
from compress.pipeline.calibration_bench import Bench, Conditions, Ratio
from compress.pipeline.calibration_files import Files, cut_program, masked
from compress.pipeline.calibration_template import Template, UnexplainedError, telling_widths
from compress.pipeline.reporter import Silent
from tests.compress import families


def _analysis(build: str) -> Analysis:
    torch.manual_seed(0)
    program = compress.capture(getattr(families, build)(), (torch.zeros(1, 3, 64, 64),))
    return analyse(randomised(program))


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    return {tensor.name: tuple(tensor.dims) for tensor in onnx.load(str(path)).graph.initializer}


def _run(path: Path) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).standard_normal((2, 3, 64, 64), np.float32)
    return np.asarray(session.run(None, {session.get_inputs()[0].name: image})[0])


@pytest.mark.parametrize(
    "family",
    [
        "mobilenet_v2",
        pytest.param("dense", marks=pytest.mark.slow),
        pytest.param("efficientnet_b", marks=pytest.mark.slow),
        pytest.param("regnet_y", marks=pytest.mark.slow),
        pytest.param("resnet_bottleneck", marks=pytest.mark.slow),
    ],
)
def test_a_cut_file_is_the_exported_one(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    analysis = _analysis(family)
    files = Files(analysis, (), tmp_path, Conditions(), Silent())
    random = np.random.default_rng(0)
    full = np.array([group.width for group in analysis.prunable])
    widths = random.integers((full + 3) // 4, full + 1)
    exported = tmp_path / "exported.onnx"
    exporters.to_onnx(cut_program(analysis, widths), exported)

    def refuse(*_: object, **__: object) -> None:
        pytest.fail("nothing is exported any more")

    monkeypatch.setattr(exporters, "to_onnx", refuse)
    cut = files.write("cut", widths, np.zeros(0))
    assert _shapes(cut) == _shapes(exported)
    np.testing.assert_allclose(_run(cut), _run(exported), rtol=1e-4, atol=1e-5)


def test_what_cannot_be_explained_is_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unexplained(*_: object) -> Template:
        raise UnexplainedError("no width explains it")

    monkeypatch.setattr(Template, "learn", unexplained)
    said: list[str] = []
    reporter = Silent()
    monkeypatch.setattr(reporter, "say", said.append)
    analysis = _analysis("mobilenet_v2")
    files = Files(analysis, (), tmp_path, Conditions(), reporter)
    assert said == ["each configuration is exported anew: no width explains it"]
    widths = np.array([max(group.width // 2, 1) for group in analysis.prunable])
    assert _run(files.write("half", widths, np.zeros(0))).shape == (2, 10)


def test_files_that_differ_in_more_than_sizes_are_told(tmp_path: Path) -> None:
    analysis = _analysis("mobilenet_v2")
    files = Files(analysis, (), tmp_path, Conditions(), Silent())
    other = onnx.load(str(files.dense))
    other.graph.node[0].op_type = "Other"
    onnx.save(other, str(tmp_path / "other.onnx"))
    full = np.array([group.width for group in analysis.prunable])
    with pytest.raises(UnexplainedError, match="differ in more than sizes"):
        Template.learn(analysis, np.stack([full, full]), [files.dense, tmp_path / "other.onnx"])
    with pytest.raises(UnexplainedError, match="no width explains initializer"):
        Template.learn(analysis, np.stack([full, full]), [files.dense, tmp_path / "cut-1.onnx"])


def test_what_is_learnt_is_proved_by_another_file(tmp_path: Path) -> None:
    analysis = _analysis("mobilenet_v2")
    files = Files(analysis, (), tmp_path, Conditions(), Silent())
    full = np.array([group.width for group in analysis.prunable])
    widths = telling_widths(full, np.maximum(full // 2, 1))
    cut = [tmp_path / f"cut-{number}.onnx" for number in range(1, len(widths))]
    template = Template.learn(analysis, widths, [files.dense, *cut])
    template.check(widths[1], cut[0])
    assert (widths[1] != widths[2]).any()
    with pytest.raises(UnexplainedError, match="and was exported as"):
        template.check(widths[2], cut[0])


@pytest.mark.parametrize("alike", [10, 17, 40])
def test_telling_widths_tell_all_groups_apart(alike: int) -> None:
    """RegNet has dozens of groups of eight: four widths each, which two choices do not tell apart."""
    full = np.array([16] * 60 + [8] * alike + [1])
    found = telling_widths(full, np.maximum(full // 2, 1))
    assert (found[0] == full).all()
    assert ((found >= np.maximum(full // 2, 1)) & (found <= full)).all()
    assert len({tuple(column) for column in found.T}) == len(full)


def test_zeros_are_put_into_blocks_of_four_rows(tmp_path: Path) -> None:
    analysis = _analysis("mobilenet_v2")
    dense = Files(analysis, (), tmp_path, Conditions(), Silent()).dense
    model = onnx.load(str(dense))
    masked(model, {"features.2.conv.0.0": 0.25, "classifier.1": 0.5})
    after = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    expand = after["features.2.conv.0.0.weight"]
    blocks = (expand.reshape(-1, 4, expand.shape[1]) != 0).sum(axis=1)
    assert set(np.unique(blocks)) == {0, 4}
    assert (blocks > 0).mean() == pytest.approx(0.25, abs=0.01)
    assert np.count_nonzero(after["features.1.conv.1.weight"]) == after["features.1.conv.1.weight"].size
    onnx.save(model, str(tmp_path / "masked.onnx"))
    assert np.isfinite(_run(tmp_path / "masked.onnx")).all()


def test_files_of_sparse_choices_have_sparse_operators(tmp_path: Path) -> None:
    analysis = _analysis("resnet_basic")
    layers = [layer.name for layer in Layers(analysis).layers if layer.name.startswith("layer2")]
    files = Files(analysis, layers, tmp_path, Conditions(), Silent())
    full = np.array([group.width for group in analysis.prunable])
    sparse = onnx.load(str(files.write("sparse", full, np.full(len(layers), 0.1))))
    assert {node.op_type for node in sparse.graph.node} >= {"SparseConv"}
    dense = onnx.load(str(files.write("dense", full, np.ones(len(layers)))))
    assert "SparseConv" not in {node.op_type for node in dense.graph.node}
    bench = Bench(Conditions(seconds=0.05), [layer.name for layer in Layers(analysis).layers])
    (found,) = bench.measure(
        files.dense, [tmp_path / "sparse.onnx"], apart=True, seed=0, progress=lambda _share, _text: None
    ).found
    assert isinstance(found, Ratio)
    assert set(found.shares) == {layer.name for layer in Layers(analysis).layers}
