"""One set of weights that all candidates of a search share: each trains and is judged on its slice of it.

Source: Zhao et al. 2021 (JCW): candidates take the first channels of every group and the largest blocks of every layer;
batch norm's statistics are each candidate's own, averaged anew before it is judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from compress.axes.surgery import kept_atoms, remove
from compress.masks import Mask
from compress.program import Program
from compress.search.encoding import Candidate, Encoding
from compress.sparsity.densities import masks_of
from compress.training.losses import Loss, Outputs

PATTERN = "4x1"


@dataclass(frozen=True)
class SuperNet:
    """The network that ``encoding`` was made of, whose weights are trained in place.

    ``frozen`` names tensors that no candidate trains.
    """

    encoding: Encoding
    pattern: str = PATTERN

    @property
    def program(self) -> Program:
        """The whole network, with the shared weights as they are now."""
        return self.encoding.analysis.program

    def parameters(self) -> list[torch.Tensor]:
        """What an optimiser trains."""
        program = self.program
        wanted = program.requires_grad
        return [tensor for name, tensor in program.tensors.items() if wanted.get(name)]

    def candidate(self, candidate: Candidate, *, dense: bool = False) -> Program:
        """Return a network of its own with the candidate's slice of the weights, copied, and masked.

        Args:
            dense: leave the masks out.
        """
        sliced = remove(self.encoding.analysis, self._keep(candidate))
        if not dense:
            masks: dict[str, Mask] = masks_of(sliced, candidate.densities, pattern=self.pattern)
            if masks:
                sliced.set_masks(masks)
        return sliced

    def learn(
        self, candidate: Candidate, inputs: Sequence[torch.Tensor], target: Any, loss: Loss, *, dense: bool
    ) -> float:
        """Add the gradient of the candidate's loss on a batch to the shared weights', and return the loss."""
        sliced = self.candidate(candidate, dense=dense)
        module = sliced.module(training=True).train()
        outputs: Outputs = module(*inputs)
        value = loss(outputs, target)
        value.backward()
        self._collect(candidate, sliced)
        return float(value.detach())

    def _keep(self, candidate: Candidate) -> dict[str, Any]:
        return self.encoding.plan(candidate).validated(self.encoding.analysis)

    def _collect(self, candidate: Candidate, sliced: Program) -> None:
        analysis = self.encoding.analysis
        kept = kept_atoms(analysis, self._keep(candidate))
        shared = self.program.tensors
        for name, small in sliced.tensors.items():
            if small.grad is None:
                continue
            whole = shared[name]
            if whole.grad is None:
                whole.grad = torch.zeros_like(whole)
            places = [
                torch.from_numpy(kept[analysis.atoms.of(axis)]).nonzero().flatten() for axis in analysis.stored[name]
            ]
            index = torch.meshgrid(*places, indexing="ij") if len(places) > 1 else tuple(places)
            whole.grad[index] += small.grad
