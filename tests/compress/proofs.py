"""The proofs of the axis engine as figures: relative errors in float64 of everything that must stay equal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from compress import Program
from compress.axes.analysis import Analysis, analyse
from compress.axes.labels import Array
from compress.axes.oracle import masked_forward
from compress.axes.permute import moved_share, permuted
from compress.axes.randomise import randomised
from compress.axes.surgery import remove
from compress.sizes import SizeModel

BOUND = 1e-9


@dataclass(frozen=True)
class Proof:
    """What was found for one network: errors relative to the largest output, and shares of the parameters."""

    permutation: float
    oracle: float
    changed: float
    promised: float
    predicted_macs: float
    counted_macs: int
    dense_macs: int
    predicted_params: float
    counted_params: int
    predicted_memory: float
    counted_memory: int
    analysis: Analysis
    smaller: Program

    def check(self) -> None:
        """Assert every property."""
        assert self.permutation < BOUND
        assert self.oracle < BOUND
        assert self.changed >= 0.999 * self.promised
        assert self.predicted_macs == self.counted_macs
        assert self.predicted_params == self.counted_params
        assert self.predicted_memory == self.counted_memory
        assert self.counted_macs < self.dense_macs


def prove(program: Program, seed: int = 0, *, keep: dict[str, Array] | None = None) -> Proof:
    """Randomise everything in float64, permute, cut with unequal odd keep counts, and compare.

    The signal of each tensor is kept near one, so that a relative error says something.
    """
    wide = randomised(program, seed + 1).astype(torch.float64)
    analysis = analyse(wide)
    inputs = wide.example_inputs(batch=2, seed=seed)
    dense = outputs(wide, inputs)
    shuffled = permuted(analysis, seed)
    kept = odd_keeps(analysis, seed) if keep is None else keep
    smaller = remove(analysis, kept)
    model = SizeModel(analysis, analysis.prunable)
    widths = np.array([kept[group.name].size if group.name in kept else group.width for group in analysis.prunable])
    count, full = smaller.count(), wide.count()
    return Proof(
        permutation=distance(dense, outputs(shuffled, inputs)),
        oracle=distance(masked_forward(analysis, kept, inputs), outputs(smaller, inputs)),
        changed=_changed(wide, shuffled),
        promised=moved_share(analysis),
        predicted_macs=float(model.cost("macs", widths)[0]),
        counted_macs=count.macs,
        dense_macs=full.macs,
        predicted_params=float(model.cost("params", widths)[0]),
        counted_params=count.params,
        predicted_memory=float(model.cost("memory", widths)[0]),
        counted_memory=count.memory,
        analysis=analysis,
        smaller=smaller,
    )


def odd_keeps(analysis: Analysis, seed: int) -> dict[str, Array]:
    """Random positions that stay, a different odd number in each group: equal halves would hide swapped sizes."""
    generator = np.random.default_rng(seed)
    kept = {}
    for group in analysis.prunable:
        if group.width > 1:
            count = int(group.width * generator.uniform(0.4, 0.9)) | 1
            count = min(count, group.width - 1) or 1
            kept[group.name] = np.sort(generator.choice(group.width, count, replace=False))
    return kept


def outputs(program: Program, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """What the evaluation graph returns, always as a tuple."""
    with torch.no_grad():
        result = program.module()(*inputs)
    return result if isinstance(result, tuple) else (result,)


def distance(expected: tuple[torch.Tensor, ...], found: tuple[torch.Tensor, ...]) -> float:
    """The largest difference of any output, relative to the largest value that was expected there."""
    assert len(expected) == len(found)
    worst = 0.0
    for one, other in zip(expected, found, strict=True):
        assert one.shape == other.shape
        assert bool(one.isfinite().all())
        scale = float(one.abs().max())
        assert scale > 1e-6, "the signal died out: equality would prove nothing"
        worst = max(worst, float((one - other).abs().max()) / scale)
    return worst


def train_once(program: Program) -> None:
    """One forward and backward pass of the training graph; every parameter that it uses gets a gradient."""
    torch.manual_seed(0)
    result = program.module(training=True)(*program.example_inputs(batch=4))
    results = result if isinstance(result, tuple) else (result,)
    torch.stack([value.double().square().mean() for value in results]).sum().backward()
    used = {str(node.target) for node in program.graphs[True].nodes if node.op == "get_attr"}
    trained = [program.tensors[name] for name in used & program.parameter_names]
    assert trained
    assert all(tensor.grad is not None and bool(tensor.grad.isfinite().all()) for tensor in trained)


def _changed(before: Program, after: Program) -> float:
    """Share of the parameters' elements whose value is another one now."""
    names = before.parameter_names - set(before.tied)
    moved = sum(int((before.tensors[name] != after.tensors[name]).sum()) for name in names)
    return moved / sum(before.tensors[name].numel() for name in names)
