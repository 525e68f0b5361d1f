"""Two proofs for any network: permutation invariance and the removal oracle, in float64, everything randomised."""

from __future__ import annotations

from collections.abc import Sequence
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
LARGEST_ALLOWED = 1e-6
ROUNDING = 1e-14
NUDGE = 1e-12
DRAWS = 4


@dataclass(frozen=True)
class Verification:
    """Errors relative to the largest output. ``moved`` is the share of the parameters that the permutation moved.

    ``sensitivity`` is how far the output moves when every weight and input moves by one part in 1e12, up or down at
    random, over 1e-12, in the network or in the cut one, whichever moves further. What rounding does to a sum is what
    such changes of its terms do (backward error; Higham, Accuracy and Stability of Numerical Algorithms, chapter 3),
    so it tells rounding from mistakes: a deep network with random weights can be chaotic, and then rounding alone
    exceeds any fixed tolerance. Permuted networks were seen to differ by up to 2e-15 of it.
    """

    permutation_error: float
    removal_error: float
    moved: float
    sensitivity: float

    @property
    def allowed(self) -> float:
        """The error that rounding alone may cause; never so much that a mistake could be taken for rounding."""
        return min(LARGEST_ALLOWED, max(TOLERANCE, ROUNDING * self.sensitivity))

    @property
    def passed(self) -> bool:
        """Whether both errors are within what rounding explains."""
        return max(self.permutation_error, self.removal_error) <= self.allowed


def verify(program: Program, seed: int = 0) -> Verification:
    """Check that ``program``'s groups are right: on random weights, in float64, with unequal odd keep counts.

    Permutation within groups must leave the function as it is, and the cut network must equal an interpreter that
    runs the uncut graph with the removed channels masked. Where the drawn network is so chaotic that rounding might
    hide a mistake, or its outputs are not finite, others are drawn (``seed`` + 1 and so on).
    """
    drawn, inputs, sensitivity = _calm(program, seed)
    analysis = analyse(drawn)
    with torch.no_grad():
        plain = outputs(drawn, inputs)
        moved = outputs(permuted(analysis, seed), inputs)
        keep = odd_keeps(analysis, seed)
        smaller = remove(analysis, keep)
        cut = outputs(smaller, inputs)
        sensitivity = max(sensitivity, _sensitivity(smaller, inputs, seed))
        masked = masked_forward(analysis, keep, inputs)
    return Verification(
        permutation_error=distance(moved, plain),
        removal_error=distance(cut, masked),
        moved=moved_share(analysis),
        sensitivity=sensitivity,
    )


def _calm(program: Program, seed: int) -> tuple[Program, tuple[torch.Tensor, ...], float]:
    """The first of a few random networks in which rounding stays small, or else the last; its inputs, sensitivity."""
    drawn, inputs, sensitivity = _draw(program, seed)
    for attempt in range(seed + 1, seed + DRAWS):
        if sensitivity * ROUNDING <= LARGEST_ALLOWED:
            break
        del drawn  # two copies of a large network in float64 would not fit into every memory
        drawn, inputs, sensitivity = _draw(program, attempt)
    return drawn, inputs, sensitivity


def _draw(program: Program, seed: int) -> tuple[Program, tuple[torch.Tensor, ...], float]:
    drawn = randomised(program, seed).astype(torch.float64)
    inputs = drawn.example_inputs(seed=seed)
    return drawn, inputs, _sensitivity(drawn, inputs, seed)


def _sensitivity(program: Program, inputs: tuple[torch.Tensor, ...], seed: int) -> float:
    """The weights move in place, without a copy of a large network, and back to within rounding."""
    tensors = [tensor for name, tensor in program.tensors.items() if name not in program.tied]
    _nudge(tensors, seed, 1 + NUDGE, 1 - NUDGE)
    moved_inputs = tuple(value.clone() for value in inputs)
    _nudge(moved_inputs, seed, 1 + NUDGE, 1 - NUDGE)
    moved = outputs(program, moved_inputs)
    _nudge(tensors, seed, 1 / (1 + NUDGE), 1 / (1 - NUDGE))
    return distance(moved, outputs(program, inputs)) / NUDGE


def _nudge(tensors: Sequence[torch.Tensor], seed: int, up: float, down: float) -> None:
    """Multiply each value by one of both factors, the same ones for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in tensors:
            if tensor.is_floating_point():
                is_up = torch.randint(0, 2, tensor.shape, generator=generator, dtype=torch.int8)
                factors = tensor.new_tensor([down, up])
                tensor.mul_(factors[is_up.int()])


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
