"""What sets weights to zero while they train, as the training loop sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from compress.program import Program
from compress.sparsity.report import SparsityReport


class MasksInTraining(Protocol):
    """The masks of a Program in training. Made before the Program's modules: they must know which weights it masks."""

    @property
    def needs_gradients(self) -> bool:
        """Whether :meth:`observe` is to be called after every backward pass, before the optimiser's step."""
        ...

    def is_final(self, step: int) -> bool:
        """Whether the masks are what they will be when ``step`` steps are done."""
        ...

    def observe(self, program: Program) -> None:
        """See the gradients that lie at the weights, or add to them."""
        ...

    def update(self, program: Program, step: int) -> bool:
        """Set weights to zero after ``step`` steps (from 1); return whether there are new masks."""
        ...

    def state(self) -> dict[str, Any]:
        """What a killed run needs to go on, beside the Program's masks."""
        ...

    def restore(self, program: Program, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state`; ``program`` has the masks of then."""
        ...

    def finish(self, before: Program, trained: Program) -> SparsityReport:
        """Record in ``trained``, which has the final masks, what was done to ``before``, and report it."""
        ...


class SparsityInTraining(Protocol):
    """What a training is to reach, and how."""

    def settings(self) -> dict[str, Any]:
        """As a run records it."""
        ...

    def begin(self, program: Program, epochs: int, steps: int) -> MasksInTraining:
        """Give ``program``, in place, masks that leave nothing out yet; ``steps`` are those of an epoch.

        Raises:
            compress.errors.PlanError: it does not fit the network.
        """
        ...
