from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from compress.errors import InputError
from deploy.enginefile import runtime_of
from deploy.modelfile import inspect

BYTES = b"ftrt" + bytes(range(200))


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """An engine file and its record, as ``compress export --trt`` writes them beside each other."""
    path = tmp_path / "net.sm86.fp16.engine"
    path.write_bytes(BYTES)
    record = {"engine_sha256": hashlib.sha256(BYTES).hexdigest(), "precision": "fp16", "tensorrt": "TensorRT for RTX"}
    record_of(path).write_text(json.dumps(record))
    return path


def record_of(engine: Path) -> Path:
    return engine.with_name(engine.name + ".json")


def test_the_record_tells_precision_and_runtime(engine: Path) -> None:
    known = inspect(engine)
    assert (known.name, known.size, known.precision) == (engine.name, len(BYTES), "fp16")
    assert known.sha256 == hashlib.sha256(BYTES).hexdigest()
    assert known.nodes is None
    assert runtime_of(engine) == "tensorrt-rtx"


def test_without_a_record_nothing_is_guessed(engine: Path) -> None:
    record_of(engine).unlink()
    assert inspect(engine).precision == "unknown"
    assert runtime_of(engine) is None


def test_a_truncated_engine_does_not_pass_for_the_recorded_one(engine: Path) -> None:
    engine.write_bytes(BYTES[:-1])
    with pytest.raises(InputError, match="truncated, or is another engine"):
        inspect(engine)


@pytest.mark.parametrize(("text", "said"), [("{", "is not JSON"), ("[]", "not the record of an engine")])
def test_a_damaged_record_is_refused(engine: Path, text: str, said: str) -> None:
    record_of(engine).write_text(text)
    with pytest.raises(InputError, match=said):
        inspect(engine)


def test_an_empty_engine_is_refused(engine: Path) -> None:
    engine.write_bytes(b"")
    with pytest.raises(InputError, match="is empty"):
        inspect(engine)


def test_an_engine_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        inspect(tmp_path / "none.plan")
