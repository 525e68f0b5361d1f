"""Permutation within groups: if the groups are right, the network computes the same function afterwards."""

from __future__ import annotations

import numpy as np
import torch

from compress.axes.analysis import Analysis, analyse
from compress.program import Program


def permute(program: Program, seed: int = 0) -> Program:
    """Reorder the atoms of every group (never by the identity), constants included, and return the new Program.

    Outputs and frozen axes stay where they are. The function computed is the same up to the order of summation.
    """
    return permuted(analyse(program), seed)


def permuted(analysis: Analysis, seed: int) -> Program:
    """:func:`permute` for a Program that was analysed before."""
    generator = np.random.default_rng(seed)
    order = {name: [np.arange(size) for size in tensor.shape] for name, tensor in analysis.program.tensors.items()}
    for group in analysis.prunable:
        shuffled = _derangement(group.width, generator)
        for member in group.members:
            before = order[member.tensor][member.dim]
            places = np.arange(before.size)
            places[member.indices.ravel()] = member.indices[shuffled].ravel()
            order[member.tensor][member.dim] = before[places]  # heads and the width inside them share an axis
    tensors = {}
    for name, tensor in analysis.program.tensors.items():
        moved = tensor.detach()
        for dim, index in enumerate(order[analysis.program.tied.get(name, name)]):
            if not np.array_equal(index, np.arange(index.size)):
                moved = moved.index_select(dim, torch.from_numpy(index).to(tensor.device))
        tensors[name] = moved.clone(memory_format=torch.contiguous_format)
    return analysis.program.rebuilt(tensors, analysis.program.graphs)


def _derangement(width: int, generator: np.random.Generator) -> np.ndarray:
    """A permutation that moves every element: a random order, rotated by one."""
    if width < 2:
        return np.arange(width)
    order = generator.permutation(width)
    result = np.empty(width, np.int64)
    result[order] = np.roll(order, 1)
    return result


def moved_share(analysis: Analysis) -> float:
    """Share of the parameters' elements that :func:`permute` moves: those with an index in some group of two or
    more.
    """
    moved = total = 0
    names = analysis.program.parameter_names
    masks = {name: [np.zeros(size, bool) for size in analysis.program.tensors[name].shape] for name in names}
    for group in analysis.prunable:
        if group.width > 1:
            for member in group.members:
                if member.tensor in names:
                    masks[member.tensor][member.dim][member.indices.ravel()] = True
    for name in names - set(analysis.program.tied):
        still = float(np.prod([1.0 - mask.mean() for mask in masks[name]])) if masks[name] else 1.0
        size = analysis.program.tensors[name].numel()
        total += size
        moved += round(size * (1.0 - still))
    return moved / total if total else 0.0
