"""Masks that grow during training (Zhu and Gupta 2017, To prune, or not to prune, eq. 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from compress.masks import Mask
from compress.program import Program
from compress.schedules import SCHEDULES
from compress.sparsity.report import SparsityReport
from compress.sparsity.request import SparsityRequest
from compress.sparsity.sparsifying import begun, merged, note, report, scoring_of, selected, weights_of


@dataclass(frozen=True)
class GradualSparsity:
    """What finetuning is to reach: ``request`` after the share ``until`` of all steps, in ``updates`` updates of the
    masks, most at first: ``1 - (1 - t)**3`` of the way after the share ``t`` of these steps.
    """

    request: SparsityRequest
    until: float = 0.6
    updates: int = 30

    def settings(self) -> dict[str, Any]:
        """As a run records it."""
        return {**self.request.settings(), "schedule": "cubic", "until": self.until, "updates": self.updates}

    def begin(self, program: Program, epochs: int, steps: int) -> GrowingMasks:
        """See :meth:`compress.sparsity.during.SparsityInTraining.begin`."""
        return GrowingMasks(program, self, epochs * steps)


class GrowingMasks:
    """The masks of a Program in training. Made before the Program's modules: they must know which weights it masks."""

    def __init__(self, program: Program, gradual: GradualSparsity, steps: int) -> None:
        """Args:
            program: changed in place: its layers get masks that leave nothing out yet.
            steps: of the whole training.

        Raises:
            compress.errors.PlanError: as :func:`compress.sparsify`.
        """
        self._gradual = gradual
        request = gradual.request
        self._selection = selected(program, request)
        self._chooser = begun(program, self._selection, request)
        self._ramp = max(1, int(gradual.until * steps))
        self._every = max(1, self._ramp // gradual.updates)
        full = {
            layer.weight: Mask(torch.ones(layer.shape, dtype=torch.bool), request.pattern)
            for layer in self._selection.chosen
        }
        program.set_masks({**full, **program.masks})
        self._criterion = scoring_of(program, self._chooser, request)

    @property
    def needs_gradients(self) -> bool:
        """Whether :meth:`observe` is to be called after every backward pass."""
        return self._criterion.needs_data

    def is_final(self, step: int) -> bool:
        """Whether the masks are what they will be when ``step`` steps are done."""
        return step >= self._ramp

    def observe(self, program: Program) -> None:
        """Let the criterion see the gradients that lie at the weights; those of an overflow are passed over."""
        weights, tensors = weights_of(program, self._chooser), program.tensors
        gradients = {name: grad for name in weights if (grad := tensors[name].grad) is not None}
        if all(bool(gradient.isfinite().all()) for gradient in gradients.values()):
            self._criterion.observe(weights, gradients)

    @torch.no_grad()
    def update(self, program: Program, step: int) -> bool:
        """Set weights to zero after ``step`` steps (from 1); return whether there are new masks."""
        if step > self._ramp or (step % self._every and step != self._ramp):
            return False
        done = 1 - SCHEDULES["cubic"](0.0, step / self._ramp)
        chosen = self._chooser.choose(self._criterion.scores(weights_of(program, self._chooser)), done)
        self._chooser.take(chosen.masks)
        program.set_masks(merged(program, chosen))
        return True

    def state(self) -> dict[str, Any]:
        """What a killed run needs to go on, beside the Program's masks."""
        return self._criterion.state()

    def restore(self, program: Program, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state`; ``program`` has the masks of then."""
        self._chooser.take(program.masks)
        self._criterion.restore(state)

    def finish(self, before: Program, trained: Program) -> SparsityReport:
        """Record in ``trained``, which has the final masks, what was done to ``before``, and report it."""
        chosen = self._chooser.choose(self._criterion.scores(weights_of(trained, self._chooser)))
        made = report(before, trained, self._selection, self._chooser, chosen, self._gradual.request)
        note(trained, self._gradual.settings(), self._gradual.request.seed, made)
        return made


def masks_as_state(program: Program) -> dict[str, Any]:
    """The masks as tensors and text, for the state of a training."""
    return {name: {"kept": mask.kept, "pattern": mask.pattern} for name, mask in program.masks.items()}


def masks_from_state(state: Mapping[str, Any]) -> dict[str, Mask]:
    """The inverse of :func:`masks_as_state`."""
    return {name: Mask(entry["kept"], str(entry["pattern"])) for name, entry in state.items()}
