"""Both proofs of the engine on every family that pruning promises to work on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import compress
import models
from compress import Program
from tests.compress.families import FAMILIES, WHOLE
from tests.compress.proofs import prove, train_once

# What a family's groups cannot move is an output, a bias of it, or nothing at all.
_LEAST_MOVED = 0.97


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_permuted_cut_counted_and_trained(family: Callable[[str], Program], name: str) -> None:
    proof = prove(family(name))
    proof.check()
    assert proof.promised > _LEAST_MOVED
    assert not proof.analysis.unknown
    train_once(proof.smaller)


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE)
def test_the_published_network_of_a_family(name: str) -> None:
    torch.manual_seed(0)
    module = models.create(f"torchvision:{name}?num_classes=10")
    proof = prove(compress.capture(module, (torch.randn(2, 3, WHOLE[name], WHOLE[name]),)))
    proof.check()
    assert proof.promised > _LEAST_MOVED
    assert not proof.analysis.unknown
    train_once(proof.smaller)
