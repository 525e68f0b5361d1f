"""Accuracy of Programs, .pt2 files and ONNX files, against a plain loop."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from compress import Program, data
from compress.data import DataSource
from compress.errors import CompressError, DataError, InputError
from compress.training import evaluate
from compress.training.metrics import Classification


def _by_hand(program: Program, source: DataSource) -> dict[str, float]:
    images = torch.stack([source.val[index][0] for index in range(len(source.val))])
    with torch.no_grad():
        logits = program.module(training=False)(images)
    order = logits.argsort(1, descending=True)
    hits = order == source.val.labels[:, None]
    return {
        "top1": float(hits[:, 0].float().mean()),
        "top5": float(hits[:, :5].any(1).float().mean()),
        "loss": float(nn.functional.cross_entropy(logits, source.val.labels)),
    }


@pytest.fixture(scope="module")
def exported(captured: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    example, shapes = (torch.zeros(2, 1, 8, 8),), ({0: torch.export.Dim("batch")},)
    module = captured.export_program().module()
    torch.onnx.export(module, example, str(path), dynamo=True, dynamic_shapes=shapes, verbose=False)
    return path


def _with_fixed_batch(source: Path, path: Path, batch: int) -> Path:
    model = onnx.load(source)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = batch
    onnx.save(model, path)
    return path


def test_a_program_and_its_files_score_what_a_plain_loop_scores(
    network: Program, digits: DataSource, tmp_path: Path, exported: Path
) -> None:
    wanted = _by_hand(network, digits)
    network.save(tmp_path / "net.pt2")
    fixed = _with_fixed_batch(exported, tmp_path / "fixed.onnx", 50)
    for target in (network, tmp_path / "net.pt2", exported, str(fixed)):
        found = evaluate(target, digits, batch_size=100, threads=1)
        assert found.pop("samples") == 359
        assert found == pytest.approx(wanted, rel=1e-4)


def test_what_is_not_asked_for_is_not_given(network: Program, digits: DataSource) -> None:
    assert set(evaluate(network, digits, "loss")) == {"loss", "samples"}


@pytest.mark.parametrize("metric", ["top2", "accuracy", "nowhere.py:f"])
def test_an_unknown_metric_is_named(network: Program, digits: DataSource, metric: str) -> None:
    with pytest.raises(CompressError, match=metric.partition(":")[0]):
        evaluate(network, digits, metric)


def test_an_onnx_file_with_other_classes_than_the_data_is_refused(digits: DataSource, exported: Path) -> None:
    three = dataclasses.replace(digits, classes=["one", "two", "three"])
    with pytest.raises(DataError, match=r"has 3 classes, net.onnx has 10 outputs"):
        evaluate(exported, three)


def test_onnx_files_that_do_not_fit_or_load_are_named(digits: DataSource, tmp_path: Path, exported: Path) -> None:
    with pytest.raises(DataError, match=r"gives inputs of 3x16x16, net.onnx takes 1x8x8"):
        evaluate(exported, data.load("digits", preprocessing={"size": [16, 16], "channels": 3}))
    (tmp_path / "bad.onnx").write_text("hello")
    with pytest.raises(InputError, match=r"bad.onnx: ONNX Runtime cannot load it"):
        evaluate(tmp_path / "bad.onnx", digits)
    with pytest.raises(InputError, match="no such file"):
        evaluate(tmp_path / "absent.onnx", digits)


def test_ignored_positions_do_not_count() -> None:
    logits = torch.zeros(1, 3, 2, 2)
    logits[:, 1] = 1
    scorer = Classification()
    scorer.update(logits, torch.tensor([[[1, 1], [0, -100]]]), 1)
    assert scorer.result() == pytest.approx({"top1": 2 / 3})
