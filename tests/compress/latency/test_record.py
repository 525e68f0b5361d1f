"""Files that are no latency model are refused in one line, whatever is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from compress.errors import InputError
from compress.latency import record
from compress.latency.record import KindRecord
from tests.compress.latency.synthetic import record_of

Change = Callable[[dict[str, Any]], object]
KIND = KindRecord(axes=([8.0, 16.0], [4.0], [1.0]), milliseconds=[1.0, 2.0], samples=[(8, 4, 1, 1, 0.1)])


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "cpu.latency.json"
    record.write(record_of({"a layer": KIND}), path)
    return path


def test_what_was_written_is_read(written: Path) -> None:
    assert record.read(written) == record_of({"a layer": KIND})
    with pytest.raises(InputError, match="exists already"):
        record.write(record_of({"a layer": KIND}), written, overwrite=False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda found: found.update(version=99), "version 99.*upgrade"),
        (lambda found: found.pop("version"), "version None"),
        (lambda found: found.pop("format"), "is not a latency model"),
        (lambda found: found.update(surprise=1), "surprise: Extra inputs"),
        (lambda found: found.update(kinds={}), "kinds: Dictionary should have at least 1"),
        (lambda found: found["key"].update(threads=0), "key.threads"),
        (lambda found: found["kinds"]["a layer"].update(milliseconds=[1.0]), "axes of lengths"),
        (lambda found: found["kinds"]["a layer"].update(milliseconds=[1.0, -1.0]), "greater than or equal to 0"),
        (lambda found: found["kinds"]["a layer"].update(milliseconds=[1.0, float("nan")]), "finite"),
        (lambda found: found["kinds"]["a layer"].update(axes=[[16, 8], [4], [1]]), "do not ascend"),
        (lambda found: found["kinds"]["a layer"].update(axes=[[8] * 100, [4], [1]]), "at most 64"),
        (lambda found: found["kinds"]["a layer"].update(block=[0, 1]), "block"),
        (lambda found: found["kinds"]["a layer"].update(samples=[]), "at least 1"),
    ],
)
def test_damage_is_told(written: Path, change: Change, words: str) -> None:
    found = json.loads(written.read_text())
    change(found)
    written.write_text(json.dumps(found))
    with pytest.raises(InputError, match=words) as told:
        record.read(written)
    assert "\n" not in str(told.value)
    assert str(written) in str(told.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'"text"', b"null"])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "wrong.latency.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not a latency model"):
        record.read(path)


def test_a_path_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; compress calibrate writes"):
        record.read(tmp_path / "missing.json")
    with pytest.raises(InputError, match="is a folder"):
        record.read(tmp_path)
