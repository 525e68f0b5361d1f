"""The plan as a file: readable, atomic, refused where it is not one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from compress import Plan
from compress.axes.analysis import analyse
from compress.errors import InputError, PlanError
from compress.plan import Kept
from tests.compress.networks import Classifier, captured

PLAN = Plan(
    {"b": Kept(8, (0, 2, 5), ("b", "c")), "a": Kept(4, (1,), ("a",))}, "ab" * 32, {"target": "macs=0.5", "seed": 0}
)


def test_a_plan_comes_back_from_its_file(tmp_path: Path) -> None:
    PLAN.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == PLAN
    text = (tmp_path / "plan.json").read_text()
    assert json.loads(text) == PLAN.to_json()
    assert sum('"keep"' in line for line in text.splitlines()) == 2, "one line per group"


def test_an_empty_plan_comes_back(tmp_path: Path) -> None:
    Plan({}).save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json").groups == {}


def test_the_hash_is_of_what_the_plan_does() -> None:
    reordered = Plan(dict(reversed(list(PLAN.groups.items()))), None, {"target": "params=0.1"})
    assert reordered.sha256() == PLAN.sha256()
    assert Plan({**PLAN.groups, "a": Kept(4, (2,))}).sha256() != PLAN.sha256()
    assert Plan({**PLAN.groups, "a": Kept(5, (1,))}).sha256() != PLAN.sha256()


def test_nothing_is_overwritten_unless_asked(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        PLAN.save(path)
    PLAN.save(path, overwrite=True)
    assert Plan.load(path) == PLAN


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is not a pruning plan"),
        (b"3", "is not a pruning plan"),
        (b"{}", "is not a pruning plan"),
    ],
)
def test_files_that_are_no_plan_are_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(PlanError, match=said) as caught:
        Plan.load(path)
    assert "\n" not in str(caught.value)
    assert "plan.json" in str(caught.value)


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.json", tmp_path):
        with pytest.raises(PlanError, match="cannot be read"):
            Plan.load(path)


def test_a_valid_plan_gives_positions_by_group() -> None:
    analysis = analyse(captured(Classifier()))
    plan = Plan({"block.0": Kept(32, (3, 7, 30))})
    assert np.array_equal(plan.validated(analysis)["block.0"], [3, 7, 30])


def test_the_hint_names_the_groups_there_are() -> None:
    analysis = analyse(captured(Classifier()))
    with pytest.raises(PlanError, match=r"its groups are stem\.0, block\.0, block\.3"):
        Plan({"layer9": Kept(4, (0,))}).validated(analysis)
