"""What a Program carries beside its graph and weights."""

from __future__ import annotations

import datetime

import pytest
import torch
from pydantic import ValidationError

from compress import __version__
from compress.info import Preprocessing, ProgramInfo, versions


def test_steps_say_what_was_done_with_what_and_when() -> None:
    info = ProgramInfo()
    info.record("prune", arguments={"target": "macs=0.5"}, seed=3, input_sha256="cd" * 32, metrics={"top1": 0.5})
    info.record("export")
    first, second = info.provenance
    assert (first.verb, first.arguments, first.seed) == ("prune", {"target": "macs=0.5"}, 3)
    assert (second.seed, second.input_sha256, second.metrics) == (None, None, {})
    assert datetime.datetime.fromisoformat(first.when).tzinfo is not None
    assert first.versions["compress-toolchain"] == __version__


def test_versions_are_those_of_the_running_libraries() -> None:
    found = versions()
    assert torch.__version__.startswith(found["torch"].partition("+")[0])
    assert {"python", "numpy"} <= set(found)


def test_it_survives_json() -> None:
    info = ProgramInfo(
        model_ref="models:resnet20",
        preprocessing=Preprocessing(mean=[0.5], std=[0.25], size=[32, 48], channels=1),
        classes=["a", "b"],
        plans=[{"groups": {}}],
    )
    info.record("load")
    again = ProgramInfo.model_validate_json(info.model_dump_json())
    assert again == info
    assert again.plan == {"groups": {}}
    assert ProgramInfo().plan is None


@pytest.mark.parametrize("wrong", [{"size": [32]}, {"channels": 0}, {"mean": "grey"}, {"other": 1}])
def test_preprocessing_is_checked(wrong: dict[str, object]) -> None:
    whole = {"mean": [0.5], "std": [0.5], "size": [32, 32], "channels": 1}
    with pytest.raises(ValidationError):
        Preprocessing.model_validate({**whole, **wrong})
