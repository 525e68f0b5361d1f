"""Criteria that look at signals: at what enters every multiplication (convolution, linear, product, attention)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import fx

from compress.axes.analysis import Analysis
from compress.axes.groups import Group
from compress.axes.labels import Array
from compress.counting import ATTENTION, CONVOLUTIONS, LINEAR, PRODUCTS, TRANSPOSED
from compress.importance._base import Criterion, ScoreContext, Scores
from compress.importance._gradients import batches_of, loss_of
from compress.shapes import shapes_of

_WITH_WEIGHT = CONVOLUTIONS | TRANSPOSED | LINEAR
Change = Callable[["Tap", torch.Tensor], torch.Tensor]


@dataclass(frozen=True, eq=False)
class Tap:
    """Where atoms of a group lie in what an operator reads.

    ``indices`` has shape (atoms, indices per atom) and lies in dimension ``dim``; samples lie in dimension ``batch``.
    """

    node: fx.Node
    operand: int
    dim: int
    batch: int
    group: str
    indices: Array

    def by_sample(self, signal: torch.Tensor, samples: int) -> torch.Tensor:
        """A signal as (samples, indices, elements). Of a merged dimension (windows) the batch is taken as outermost."""
        moved = signal.movedim((self.batch, self.dim), (0, 1))
        apart = moved.reshape(samples, -1, *moved.shape[1:]).movedim(2, 1)
        return apart.reshape(samples, moved.shape[1], -1)

    def gate(self, signal: torch.Tensor, gates: torch.Tensor) -> torch.Tensor:
        """Multiply a signal with ``gates`` of shape (samples, indices)."""
        shape = [1] * signal.ndim
        shape[self.batch], shape[self.dim] = signal.shape[self.batch], signal.shape[self.dim]
        spread = gates.repeat_interleave(shape[self.batch] // len(gates), dim=0)
        return signal * (spread if self.batch < self.dim else spread.T).reshape(shape)


class SignalCriterion(Criterion):
    """A number for each channel and sample from the signal alone; atoms take the mean over samples and channels."""

    needs_data: ClassVar[bool] = True

    @abstractmethod
    def of_signal(self, signal: torch.Tensor) -> torch.Tensor:
        """Return (samples, channels) from a signal of shape (samples, channels, elements), in float64."""

    def places(self, context: ScoreContext, groups: Sequence[Group]) -> dict[str, list[Scores]]:
        taps = find_taps(context.analysis, groups)
        sums: dict[Tap, Scores | float] = {}
        count = 0

        def watch(tap: Tap, signal: torch.Tensor) -> torch.Tensor:
            found = self.of_signal(tap.by_sample(signal, samples).double()).sum(0)
            sums[tap] = sums.get(tap, 0.0) + found.cpu().numpy()[tap.indices].mean(axis=1)
            return signal

        with torch.no_grad():
            for inputs, _ in batches_of(self, context):
                samples = len(inputs[0])
                count += samples
                _Tapped(context.analysis, taps, watch).run(*inputs)
        result: dict[str, list[Scores]] = {}
        for tap in taps:
            result.setdefault(tap.group, []).append(np.asarray(sums[tap] / count))
        return result


class GateCriterion(Criterion):
    """A number for each atom and sample from the derivative of the sample's loss by the atom's gate.

    A gate is a factor, 1 as things are, on everything of the atom that any operator reads; 0 would remove the atom. All
    places share it, so there is one number per atom and nothing to aggregate.
    """

    needs_data: ClassVar[bool] = True

    @abstractmethod
    def of_gates(self, derivatives: torch.Tensor) -> torch.Tensor:
        """Return a number for each entry of ``derivatives``, of shape (samples, atoms), in float64."""

    def places(self, context: ScoreContext, groups: Sequence[Group]) -> dict[str, list[Scores]]:
        taps = find_taps(context.analysis, groups)
        sums: dict[str, torch.Tensor] = {}
        count = 0
        for inputs, target in batches_of(self, context):
            count += len(inputs[0])
            for group, derivatives in self._derivatives(context.analysis, taps, inputs, target).items():
                sums[group] = sums.get(group, 0) + self.of_gates(derivatives.double()).sum(0)
        return {group: [(total / count).cpu().numpy()] for group, total in sums.items()}

    def _derivatives(
        self, analysis: Analysis, taps: Sequence[Tap], inputs: tuple[torch.Tensor, ...], target: Any
    ) -> dict[str, torch.Tensor]:
        """By group, d loss(sample) / d gate(atom) of shape (samples, atoms)."""
        samples = len(inputs[0])
        gates: dict[Tap, torch.Tensor] = {}

        def gated(tap: Tap, signal: torch.Tensor) -> torch.Tensor:
            gates[tap] = torch.ones(samples, signal.shape[tap.dim], dtype=signal.dtype, device=signal.device)
            return tap.gate(signal, gates[tap].requires_grad_())

        outputs = _Tapped(analysis, taps, gated).run(*inputs)
        loss = loss_of(self, outputs, target) * samples  # the mean over samples hides each one's own derivative
        found = torch.autograd.grad(loss, list(gates.values()), allow_unused=True)
        result: dict[str, torch.Tensor] = {}
        for tap, gradient in zip(gates, found, strict=True):
            if gradient is not None:
                result[tap.group] = result.get(tap.group, 0) + gradient[:, torch.from_numpy(tap.indices)].sum(2)
        return result


class _Tapped(fx.Interpreter):
    """Runs the evaluation graph with what is tapped passed through ``change``."""

    def __init__(self, analysis: Analysis, taps: Sequence[Tap], change: Change) -> None:
        program = analysis.program
        super().__init__(program.module(), garbage_collect_values=True, graph=program.graphs[False])
        self._change = change
        self._taps: dict[fx.Node, list[Tap]] = {}
        for tap in taps:
            self._taps.setdefault(tap.node, []).append(tap)

    def run_node(self, n: fx.Node) -> Any:
        if n not in self._taps:
            return super().run_node(n)
        arguments, named = self.fetch_args_kwargs_from_env(n)
        changed = list(arguments)
        for tap in self._taps[n]:
            changed[tap.operand] = self._change(tap, changed[tap.operand])
        return self.call_function(n.target, tuple(changed), named)


def find_taps(analysis: Analysis, groups: Sequence[Group]) -> list[Tap]:
    """Find where atoms of ``groups`` enter a multiplication of the evaluation graph, in graph order."""
    program, trace = analysis.program, analysis.traces[False]
    longer = shapes_of(program.graphs[False], program.tensors, program.input_shapes(batch=3))
    owner, place = np.full((2, analysis.atoms.reason_index.size), -1, np.int64)
    for number, group in enumerate(groups):
        owner[group.atoms], place[group.atoms] = number, np.arange(group.width)
    taps = []
    for node in program.graphs[False].nodes:
        for operand, value in _read(node):
            batch = _batch_dimension(trace.shape(value), longer[value])
            for dim, labels in enumerate(trace.axes(value)) if batch is not None else ():
                position, atom = analysis.atoms.expanded(analysis.atoms.of(labels))
                for number in np.unique(owner[atom][owner[atom] >= 0]).tolist():
                    mine = np.flatnonzero(owner[atom] == number)
                    mine = mine[np.argsort(place[atom[mine]], kind="stable")]
                    indices = position[mine].reshape(groups[number].width, -1)
                    taps.append(Tap(node, operand, dim, batch or 0, groups[number].name, indices))
    return taps


def _batch_dimension(shape: Sequence[int], of_a_larger_batch: Sequence[int]) -> int | None:
    """The dimension that grows with the batch; None for what is computed from weights alone."""
    pairs = enumerate(zip(shape, of_a_larger_batch, strict=True))
    return next((dim for dim, (size, larger) in pairs if size != larger), None)


def _read(node: fx.Node) -> list[tuple[int, fx.Node]]:
    """The operands of a multiplication that may carry a signal, with their positions."""
    if node.target in _WITH_WEIGHT:
        positions = [0]
    elif node.target in PRODUCTS | ATTENTION:
        positions = [0, 1, 2]
    else:
        return []
    return [(at, node.args[at]) for at in positions if at < len(node.args) and isinstance(node.args[at], fx.Node)]  # type: ignore[misc]
