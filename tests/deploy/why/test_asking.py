"""Explanations are made in a process of their own: what a runtime does there harms nobody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from compress.errors import InputError, UnavailableError
from deploy.why import Explanation, explain
from tests.deploy.runner.plugin import NAME, install
from tests.deploy.why import nets


@pytest.fixture
def unruly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plugin").mkdir()
    install(tmp_path / "plugin", monkeypatch)


def test_the_answer_comes_back_whole(tmp_path: Path) -> None:
    said: list[str] = []
    path = nets.tiny(tmp_path / "net.onnx", layers=3)
    found = explain(path, path, seconds=0.5, progress=lambda share, text: said.append(text))
    assert found == Explanation.model_validate_json(found.model_dump_json())
    assert {row.name for row in found.rows} >= {"layers.0", "layers.1", "layers.2"}
    assert "timing operators" in said


@pytest.mark.usefixtures("unruly")
@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("crash-load.onnx", InputError, "signal 11"),
        ("crash-operators.onnx", InputError, "signal 6"),
        ("hang-late.onnx", InputError, "hung"),
        ("refuse.onnx", InputError, "is too good for this runtime"),
        ("no-operators.onnx", UnavailableError, "does not tell the times of operators"),
    ],
)
def test_what_goes_wrong_there_is_a_message(tmp_path: Path, name: str, kind: type[Exception], words: str) -> None:
    path = nets.tiny(tmp_path / name, layers=3)
    with pytest.raises(kind, match=words):
        explain(path, path, runtime=NAME, seconds=0.3, timeout=4 if words == "hung" else 120)
