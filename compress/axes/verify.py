"""Two proofs for any network: permutation invariance and the removal oracle, in float64, everything randomised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from compress.axes.analysis import Analysis, analyse
from compress.axes.labels import Array
from compress.axes.oracle import masked_forward
from compress.axes.permute import moved_share, permuted
from compress.axes.randomise import randomised
from compress.axes.surgery import remove
from compress.program import Program

TOLERANCE = 1e-9


@dataclass(frozen=True)
class Verification:
    """Errors relative to the largest output. ``moved`` is the share of the parameters that the permutation moved.

    ``sensitivity`` is how far the output moves when the input moves by one part in 1e12, over 1e-12, in the network or
    in the cut one, whichever moves further: a deep network with random weights can be chaotic, and then rounding alone
    exceeds any fixed tolerance.
    """

    permutation_error: float
    removal_error: float
    moved: float
    sensitivity: float

    @property
    def allowed(self) -> float:
        """The error that rounding alone may cause."""
        return max(TOLERANCE, 1e-14 * self.sensitivity)

    @property
    def passed(self) -> bool:
        """Whether both errors are within what rounding explains."""
        return max(self.permutation_error, self.removal_error) <= self.allowed


def verify(program: Program, seed: int = 0) -> Verification:
    """Check that ``program``'s groups are right: on random weights, in float64, with unequal odd keep counts.

    Permutation within groups must leave the function as it is, and the cut network must equal an interpreter that
    runs the uncut graph with the removed channels masked.
    """
    drawn = randomised(program, seed).astype(torch.float64)
    analysis = analyse(drawn)
    inputs = drawn.example_inputs(seed=seed)
    with torch.no_grad():
        plain = outputs(drawn, inputs)
        nudge = tuple(x * (1 + 1e-12) if x.is_floating_point() else x for x in inputs)
        restless = distance(outputs(drawn, nudge), plain)
        moved = outputs(permuted(analysis, seed), inputs)
        keep = odd_keeps(analysis, seed)
        smaller = remove(analysis, keep)
        cut = outputs(smaller, inputs)
        restless = max(restless, distance(outputs(smaller, nudge), cut))
        masked = masked_forward(analysis, keep, inputs)
    return Verification(
        permutation_error=distance(moved, plain),
        removal_error=distance(cut, masked),
        moved=moved_share(analysis),
        sensitivity=restless / 1e-12,
    )


def odd_keeps(analysis: Analysis, seed: int) -> dict[str, Array]:
    """A random cut in which no two groups keep the same share: equal halves would hide sizes that were swapped."""
    generator = np.random.default_rng(seed)
    keep = {}
    for group in analysis.prunable:
        if group.width > 1:
            count = max(1, int(group.width * generator.uniform(0.4, 0.9))) | 1
            keep[group.name] = np.sort(generator.choice(group.width, min(count, group.width), replace=False))
    return keep


def outputs(program: Program, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """What the evaluation graph returns, always as a tuple."""
    device = next((tensor.device for tensor in program.tensors.values()), torch.device("cpu"))
    with torch.no_grad():
        found = program.module()(*(value.to(device) for value in inputs))
    return found if isinstance(found, tuple) else (found,)


def distance(found: tuple[torch.Tensor, ...], wanted: tuple[torch.Tensor, ...]) -> float:
    """The largest difference of any output, relative to the largest value there; infinite where one is not finite."""
    worst = 0.0
    for left, right in zip(found, wanted, strict=True):
        scale = float(right.abs().max()) or 1.0
        error = float((left - right).abs().max()) / scale
        worst = max(worst, error if np.isfinite(error) else float("inf"))
    return worst
