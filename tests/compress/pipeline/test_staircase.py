"""The staircase of a runtime: handed in, kept, or measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from compress.errors import InputError, UnavailableError
from compress.latency.staircase import KINDS, Staircase
from compress.pipeline import staircase as module
from compress.pipeline.place import Place
from compress.pipeline.reporter import Silent
from compress.pipeline.staircase import folder, staircase
from compress.pipeline.staircase_files import build
from tests.compress.latency import stairs

HERE = Place("onnxruntime-cpu")


class Listening(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def test_a_file_that_is_handed_in_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "measured", None)  # must not be called
    path = tmp_path / "mine.staircase.json"
    stairs.staircase(8).save(path)
    assert staircase(HERE, path, Silent()) == stairs.staircase(8)
    for place, word in ((replace(HERE, threads=2), "threads 1, not 2"), (Place("openvino"), "not openvino")):
        with pytest.raises(InputError, match=word):
            staircase(place, path, Silent())


@pytest.mark.parametrize("kind", KINDS)
def test_files_produce_and_consume_the_width(kind: str) -> None:
    import onnx

    model = build(kind, 24)
    onnx.checker.check_model(model, full_check=True)
    shapes = [tuple(tensor.dims) for tensor in model.graph.initializer]
    assert sum(24 in shape[:2] for shape in shapes) == len(shapes) >= 6
    other = build(kind, 48)
    sizes = [sum(int(np.prod(tensor.dims)) for tensor in one.graph.initializer) for one in (model, other)]
    assert sizes[1] == 2 * sizes[0]


def test_a_runtime_that_is_not_there_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UnavailableError):
        staircase(Place("onnxruntime-coreml"), None, Silent())
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.slow
def test_what_was_measured_is_kept_where_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    screen = Listening()
    found = staircase(HERE, None, screen)
    assert set(found.stairs) == set(KINDS)
    (path,) = folder().iterdir()
    assert any(str(path) in said for said in screen.said)
    assert Staircase.load(path) == found
    monkeypatch.setattr(module, "measured", None)
    assert staircase(HERE, None, screen) == found
    assert "measured before" in screen.said[-1]
