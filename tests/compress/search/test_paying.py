"""Widths between two that a runtime computes alike are not searched."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

import compress
import models
from compress.search.encoding import Encoding, encoding_of
from compress.search.paying import paying_widths
from compress.search.sorting import Array


@dataclass
class Stairs:
    """A device that computes whole blocks of channels."""

    encoding: Encoding
    block: int
    narrow: float = 1.0  # times as slow below a block

    layers: tuple[str, ...] = ()
    dense: float = 1.0

    @property
    def groups(self) -> tuple[str, ...]:
        return tuple(gene.group for gene in reversed(self.encoding.widths))

    def milliseconds(self, widths: Array, densities: Array | None = None) -> Array:
        del densities
        took = np.ceil(widths / self.block) * np.where(widths < self.block, self.narrow, 1.0)
        return np.asarray(took.sum(axis=1))


@pytest.fixture(scope="module")
def encoding() -> Encoding:
    torch.manual_seed(0)
    program = compress.capture(models.create("models:resnet20").eval(), (torch.zeros(1, 3, 32, 32),))
    return encoding_of(program, lowest_width=0.25, lowest_density=0.5)


def test_only_the_tops_of_stairs_are_left(encoding: Encoding) -> None:
    found = paying_widths(encoding, Stairs(encoding, 16))
    assert {tuple(found[gene.group]) for gene in encoding.widths if gene.atoms == 64} == {(16, 32, 48, 64)}
    assert {tuple(found[gene.group]) for gene in encoding.widths if gene.atoms == 16} == {(16,)}
    every = paying_widths(encoding, Stairs(encoding, 4))
    assert {tuple(every[gene.group]) for gene in encoding.widths if gene.atoms == 16} == {(4, 8, 12, 16)}
    slow = paying_widths(encoding, Stairs(encoding, 32, narrow=3.0))
    assert {tuple(slow[gene.group]) for gene in encoding.widths if gene.atoms == 64} == {(32, 64)}


def test_the_search_is_among_them(encoding: Encoding) -> None:
    among = encoding.among(paying_widths(encoding, Stairs(encoding, 16)))
    random = np.random.default_rng(0)
    for _ in range(50):
        for gene in among.widths:
            kept = among.decode(among.grid.sample(random)).widths[gene.group]
            assert kept % 16 == 0
    lowest = among.decode(among.grid.low).widths
    assert {lowest[gene.group] for gene in among.widths} == {16}
    assert not among.free[[at for at, gene in enumerate(among.widths) if gene.atoms == 16]].any()
    free = among.grid.of(among.free)
    sampled = among.decode(among.filled(free.sample(random)))
    assert all(kept % 16 == 0 for kept in sampled.widths.values())
