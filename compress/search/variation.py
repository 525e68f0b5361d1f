"""New individuals from old ones: simulated binary crossover and polynomial mutation.

Sources: Deb and Agrawal 1995 (SBX), Deb and Goyal 1996 (polynomial mutation); the settings are those of JCW (Zhao et
al. 2021): crossover index 0.5, mutation index 15, half of the genes cross, one gene in an individual mutates.
"""

from __future__ import annotations

import numpy as np

from compress.search.sorting import Array

CROSSOVER_INDEX, MUTATION_INDEX, CROSSED = 0.5, 15.0, 0.5


def crossover(
    first: Array, second: Array, random: np.random.Generator, *, index: float = CROSSOVER_INDEX
) -> tuple[Array, Array]:
    """Return two children whose genes lie around those of their parents, and sum to the same, gene by gene.

    Args:
        first: genes of one parent, of shape (genes,); ``second`` those of the other.
        index: the larger, the closer the children are to their parents.

    Returns:
        Two arrays of shape (genes,), which may lie outside the bounds.
    """
    uniform = random.random(first.shape)
    power = 1 / (index + 1)
    with np.errstate(divide="ignore"):
        spread = np.where(uniform <= 0.5, (2 * uniform) ** power, (1 / (2 * (1 - uniform))) ** power)
    spread = np.where(random.random(first.shape) < CROSSED, spread, 1.0)
    middle, half = (first + second) / 2, (first - second) / 2
    swapped = np.where(random.random(first.shape) < 0.5, -1.0, 1.0)
    # A gene in which the parents agree has nothing to spread, however wide the draw.
    away = np.where(half == 0, 0.0, spread * half * swapped)
    return middle + away, middle - away


def mutate(
    genes: Array,
    low: Array,
    high: Array,
    random: np.random.Generator,
    *,
    index: float = MUTATION_INDEX,
    probability: float | None = None,
) -> Array:
    """Return ``genes`` with some of them moved, never out of their bounds.

    Args:
        genes: of shape (genes,), within ``low`` and ``high`` of the same shape.
        index: the larger, the smaller the steps.
        probability: of each gene; default one gene of the individual on average.
    """
    chance = 1 / genes.size if probability is None else probability
    span = high - low
    uniform = random.random(genes.shape)
    hit = (random.random(genes.shape) < chance) & (span > 0)
    width = np.where(span > 0, span, 1.0)
    below, above = (genes - low) / width, (high - genes) / width
    power = 1 / (index + 1)
    left = (2 * uniform + (1 - 2 * uniform) * (1 - below) ** (index + 1)) ** power - 1
    right = 1 - (2 * (1 - uniform) + (2 * uniform - 1) * (1 - above) ** (index + 1)) ** power
    moved = genes + np.where(uniform < 0.5, left, right) * width
    return np.clip(np.where(hit, moved, genes), low, high)
