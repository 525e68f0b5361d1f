"""Exchangeable atoms are found by digest, and compared whole: a collision of digests changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from torchvision.models.vision_transformer import VisionTransformer

from compress import Program
from compress.axes import occupancy
from compress.axes.analysis import analyse
from tests.compress.networks import captured


def transformer() -> Program:
    return captured(VisionTransformer(16, 8, 2, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=5))


@pytest.mark.parametrize("name", ["mobilenet_v3", "dense", "resnext", "transformer"])
def test_collisions_of_digests_change_nothing(
    family: Callable[[str], Program], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    program = transformer() if name == "transformer" else family(name)
    groups = analyse(program).groups
    monkeypatch.setattr(occupancy, "_mixed", np.zeros_like)
    collided = analyse(program).groups
    assert [group.name for group in collided] == [group.name for group in groups]
    for one, other in zip(collided, groups, strict=True):
        assert np.array_equal(one.atoms, other.atoms)
        assert [(m.tensor, m.dim) for m in one.members] == [(m.tensor, m.dim) for m in other.members]
        assert all(np.array_equal(m.indices, n.indices) for m, n in zip(one.members, other.members, strict=True))


def test_sorting_by_counting_is_a_stable_sort() -> None:
    keys = np.random.default_rng(0).integers(0, 50, 1000)
    assert np.array_equal(occupancy._sorting(keys, 60), np.argsort(keys, kind="stable"))
    assert occupancy._sorting(keys[:0], 60).size == 0
