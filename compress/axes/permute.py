"""Permutation within groups: if the groups are right, the network computes the same function afterwards."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from compress.axes.analysis import Analysis, analyse
from compress.axes.groups import Group
from compress.axes.labels import Array
from compress.errors import PlanError
from compress.program import Program
from compress.sparsity.carrying import carried


def permute(program: Program, seed: int = 0) -> Program:
    """Reorder the atoms of every group (never by the identity), constants included, and return the new Program.

    Outputs and frozen axes stay where they are. The function computed is the same up to the order of summation. The
    share of the parameters that was moved is the metric ``moved`` of the last step in the result's ``info``.

    Raises:
        PlanError: less was moved than can be pruned.
    """
    return permuted(analyse(program), seed)


def permuted(analysis: Analysis, seed: int) -> Program:
    """:func:`permute` for a Program that was analysed before."""
    generator = np.random.default_rng(seed)
    orders = {group.name: _derangement(group.width, generator) for group in analysis.prunable}
    order = _orders(analysis, orders)
    share, prunable = _share(analysis, {name: _moved(index) for name, index in order.items()}), moved_share(analysis)
    if share < prunable:
        raise PlanError(
            f"only {share:.4f} of the parameters were moved, {prunable:.4f} can be pruned",
            hint="please report this with the network: the permutation proves nothing here",
        )
    result = reorder(analysis, orders)
    result.info.record("permute", arguments={"seed": seed}, seed=seed, metrics={"moved": share})
    return result


def reorder(analysis: Analysis, orders: Mapping[str, Array]) -> Program:
    """Return a Program that computes the same with its atoms in another order, constants included.

    Args:
        orders: by name of a prunable group, which atom comes to each place, of shape (atoms,); a group that is not
            named stays as it is.
    """
    order, listed = _orders(analysis, orders), _listed(analysis, orders)
    program = analysis.program
    tensors = {
        name: _reordered(tensor.detach(), order[program.tied.get(name, name)])
        for name, tensor in program.tensors.items()
    }
    for name, before in listed.items():
        tensors[name] = torch.from_numpy(np.argsort(before)).to(tensors[name])[tensors[name] % before.size]
    result = program.rebuilt(tensors, program.graphs, masks={})
    masks = program.masks
    result.set_masks(carried(result, {name: _reordered(mask.kept, order[name]) for name, mask in masks.items()}, masks))
    return result


def _orders(analysis: Analysis, orders: Mapping[str, Array]) -> dict[str, list[np.ndarray]]:
    """Which index of each dimension of each tensor comes to each place."""
    order = {name: [np.arange(size) for size in tensor.shape] for name, tensor in analysis.program.tensors.items()}
    for group in analysis.prunable:
        if group.name not in orders:
            continue
        for member in group.members:
            before = order[member.tensor][member.dim]
            places = np.arange(before.size)
            places[member.indices.ravel()] = member.indices[orders[group.name]].ravel()
            order[member.tensor][member.dim] = before[places]  # heads and the width inside them share an axis
    return order


def _listed(analysis: Analysis, orders: Mapping[str, Array]) -> dict[str, np.ndarray]:
    """The same for the axes that constants list positions of."""
    listed = {name: np.arange(axis.size) for name, axis in analysis.renumbered.items()}
    for group in analysis.prunable:
        for name, axis in analysis.renumbered.items() if group.name in orders else ():
            listed[name] = listed[name][_places(analysis, group, axis, orders[group.name])]
    return listed


def _reordered(tensor: torch.Tensor, order: list[np.ndarray]) -> torch.Tensor:
    for dim, index in enumerate(order):
        if not np.array_equal(index, np.arange(index.size)):
            tensor = tensor.index_select(dim, torch.from_numpy(index).to(tensor.device))
    return tensor.clone(memory_format=torch.contiguous_format)


def _places(analysis: Analysis, group: Group, axis: Array, shuffled: np.ndarray) -> np.ndarray:
    """Which index of ``axis``, made inside the graph, comes to each index when the group's atoms are shuffled."""
    at = np.full(analysis.atoms.frozen.size, -1, np.int64)
    at[group.atoms] = np.arange(group.width)
    index, atom = analysis.atoms.expanded(analysis.atoms.of(axis))
    mine = np.flatnonzero(at[atom] >= 0)
    rows = index[mine][np.argsort(at[atom[mine]], kind="stable")].reshape(group.width, -1)
    places = np.arange(axis.size)
    places[rows.ravel()] = rows[shuffled].ravel()
    return places


def _moved(indices: list[np.ndarray]) -> list[np.ndarray]:
    return [index != np.arange(index.size) for index in indices]


def _derangement(width: int, generator: np.random.Generator) -> np.ndarray:
    """A permutation that moves every element: a random order, rotated by one."""
    if width < 2:
        return np.arange(width)
    order = generator.permutation(width)
    result = np.empty(width, np.int64)
    result[order] = np.roll(order, 1)
    return result


def moved_share(analysis: Analysis) -> float:
    """Share of the parameters' elements that lie in some group of two or more: what :func:`permute` must move."""
    masks = {name: [np.zeros(size, bool) for size in tensor.shape] for name, tensor in analysis.program.tensors.items()}
    for group in analysis.prunable:
        if group.width > 1:
            for member in group.members:
                masks[member.tensor][member.dim][member.indices.ravel()] = True
    return _share(analysis, masks)


def _share(analysis: Analysis, masks: Mapping[str, list[np.ndarray]]) -> float:
    """Share of the parameters' elements that have a marked index in some dimension."""
    marked = total = 0.0
    tensors = analysis.program.tensors
    for name in analysis.program.parameter_names - set(analysis.program.tied):
        size = tensors[name].numel()
        unmarked = np.prod([1.0 - mask.mean() for mask in masks[name]]) if masks[name] else 1.0
        total += size
        marked += size * (1.0 - float(unmarked))
    return marked / total if total else 0.0
