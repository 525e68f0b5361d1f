from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

import compress
import models
from compress.errors import PlanError
from compress.search.costs import LatencyCost, MacsCost, without_density
from compress.search.encoding import Encoding, encoding_of
from compress.search.supernet import SuperNet


@pytest.fixture(scope="module")
def encoding() -> Encoding:
    torch.manual_seed(0)
    program = compress.capture(models.create("models:resnet20"), (torch.zeros(1, 3, 32, 32),))
    return encoding_of(program, lowest_width=0.3, lowest_density=0.3)


@dataclass(frozen=True)
class Affine:
    """A latency model whose answer tells which column was which."""

    groups: tuple[str, ...]
    layers: tuple[str, ...]
    dense: float = 7.0

    def milliseconds(self, widths: Any, densities: Any = None) -> Any:
        found = widths @ np.arange(1, len(self.groups) + 1)
        return found + (densities @ np.arange(1, len(self.layers) + 1) if densities is not None else 0)


def test_macs_are_those_of_the_network_made_of_it_zeros_removed(encoding: Encoding) -> None:
    cost, supernet, random = MacsCost(encoding), SuperNet(encoding), np.random.default_rng(0)
    candidates = [encoding.decode(encoding.grid.sample(random)) for _ in range(5)]
    for candidate, found in zip(candidates, cost.of(candidates), strict=True):
        assert found == pytest.approx(supernet.candidate(candidate).count().nonzero_macs, rel=0.01)
    assert cost.dense == encoding.analysis.program.count().macs


def test_latency_is_asked_for_in_the_models_own_order(encoding: Encoding) -> None:
    groups = tuple(reversed([gene.group for gene in encoding.widths]))
    layers = tuple(reversed([gene.weight for gene in encoding.densities]))[:3]
    cost = LatencyCost(encoding, Affine(groups, layers), {"runtime": "synthetic"})
    candidate = encoding.decode(encoding.grid.sample(np.random.default_rng(3)))
    wanted = 0.0 + sum(at * candidate.widths[name] for at, name in enumerate(groups, 1))
    wanted += sum(at * candidate.densities[name] for at, name in enumerate(layers, 1))
    assert cost.of([candidate])[0] == pytest.approx(wanted)
    assert len(without_density(encoding, Affine(groups, layers))) == len(encoding.densities) - 3
    assert cost.settings() == {"cost": "latency", "runtime": "synthetic"}
    with pytest.raises(PlanError, match="disagree"):
        LatencyCost(encoding, Affine(groups[1:], layers), {})


def test_a_model_of_dense_weights_is_asked_for_widths_alone(encoding: Encoding) -> None:
    groups = tuple(gene.group for gene in encoding.widths)
    cost = LatencyCost(encoding, Affine(groups, ()), {})
    whole = encoding.decode(encoding.grid.high)
    assert cost.of([whole, whole]).shape == (2,)
