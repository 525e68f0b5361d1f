"""One set of weights that all candidates of a search share: each trains and is judged on its slice of it.

Source: Zhao et al. 2021 (JCW): candidates take the first channels of every group and the largest blocks of every layer;
batch norm's statistics are each candidate's own, averaged anew before it is judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from compress.axes.surgery import remove
from compress.masks import Mask
from compress.program import Program
from compress.search.encoding import Candidate, Encoding
from compress.search.slimming import Slim, Slimmer
from compress.sparsity.densities import masks_of
from compress.training.losses import Loss, Outputs

PATTERN = "4x1"


@dataclass(frozen=True)
class SuperNet:
    """The network that ``encoding`` was made of, whose weights are trained in place."""

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
        analysis = self.encoding.analysis
        sliced = remove(analysis, self.encoding.plan(candidate).validated(analysis))
        if not dense:
            masks: dict[str, Mask] = masks_of(sliced, candidate.densities, pattern=self.pattern)
            if masks:
                sliced.set_masks(masks)
        return sliced

    def slim(self, candidate: Candidate, *, training: bool, dense: bool = False) -> Slim:
        """Return the candidate as it runs on the shared weights; it computes what :meth:`candidate` computes."""
        return self._slimmer.slim(candidate, training=training, dense=dense)

    def learn(
        self, candidate: Candidate, inputs: Sequence[torch.Tensor], target: Any, loss: Loss, *, dense: bool
    ) -> float:
        """Add the gradient of the candidate's loss on a batch to the shared weights', and return the loss."""
        outputs: Outputs = self.slim(candidate, training=True, dense=dense)(*inputs)
        value = loss(outputs, target)
        value.backward()
        return float(value.detach())

    @cached_property
    def _slimmer(self) -> Slimmer:
        return Slimmer(self.encoding, self.pattern)
