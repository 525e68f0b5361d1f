"""ADMM within a training: weights are drawn towards given densities, then masked.

Source: Zhao et al. 2021 (JCW), as far as it is known: half of the epochs train the network densely from scratch, a
quarter by ADMM (:mod:`compress.sparsity.admm`), a quarter with the largest blocks (by their L2 norm) kept and the rest
zero. Here the weights are trained already, so that ADMM comes first, and what is left of the epochs is masked. A short
training at the paper's ``rho`` would hardly move a weight before it is cut: the pull is as strong as the stretch needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from compress.errors import PlanError
from compress.masks import Mask
from compress.program import Program
from compress.sparsity.admm import RHO, Admm
from compress.sparsity.layers import maskable_layers
from compress.sparsity.report import SparsityReport, sparse_layers
from compress.sparsity.sparsifying import note

_LEAST_PROJECTIONS = 4
_PULLS = 4.0
"""What the pulls of all steps add up to, in shares of how far a weight is off: 98 % of it are gone then."""
_MOST = 0.5  # of it in one step: beyond that weights would swing


@dataclass(frozen=True)
class AdmmSparsity:
    """What a training is to reach.

    Attributes:
        densities: by weight, the share of its units that stays; those of 1 stay dense.
        begins, until: the shares of all steps between which weights are drawn; from ``until`` on they are masked.
        rho: how strongly they are drawn; None for as strongly as the stretch needs, at least :data:`.RHO`.
        rate: how far a step moves a weight for a unit of gradient: the learning rate over (1 - momentum).
    """

    densities: Mapping[str, float] = field(default_factory=dict)
    pattern: str = "4x1"
    rho: float | None = None
    rate: float = 0.1
    begins: float = 0.0
    until: float = 0.25

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise PlanError(f"a learning rate of {self.rate:g} draws nothing")
        if not 0 <= self.begins < self.until <= 1:
            raise PlanError(f"weights cannot be drawn from {self.begins:g} to {self.until:g} of the steps")

    def settings(self) -> dict[str, Any]:
        """As a run records it."""
        return {
            "densities": dict(self.densities),
            "pattern": self.pattern,
            "schedule": "admm",
            "rho": self.rho if self.rho is not None else "by length",
            "rate": self.rate,
            "begins": self.begins,
            "until": self.until,
        }

    def strength(self, steps: int) -> float:
        """``rho``, for a stretch of so many steps."""
        if self.rho is not None:
            return self.rho
        return max(RHO, min(_PULLS / steps, _MOST) / self.rate)

    def begin(self, program: Program, epochs: int, steps: int) -> DrawnMasks:
        """See :meth:`compress.sparsity.during.SparsityInTraining.begin`."""
        return DrawnMasks(program, self, epochs, steps)


class DrawnMasks:
    """The masks of a Program that ADMM draws; see :class:`compress.sparsity.during.MasksInTraining`."""

    needs_gradients = True

    def __init__(self, program: Program, wanted: AdmmSparsity, epochs: int, steps: int) -> None:
        self._wanted = wanted
        self._densities = {name: share for name, share in wanted.densities.items() if share < 1}
        total = epochs * steps
        self._first, self._last = int(wanted.begins * total), max(1, int(wanted.until * total))
        stretch = max(self._last - self._first, 1)
        self._rho = wanted.strength(stretch)
        self._every = max(1, min(steps, stretch // _LEAST_PROJECTIONS))
        self._admm: Admm | None = None
        begun = self._made(program)  # whatever does not fit is refused now
        full = {
            name: Mask(torch.ones(program.tensors[name].shape, dtype=torch.bool), wanted.pattern)
            for name in self._densities
        }
        program.set_masks({**full, **program.masks})
        if self._first == 0:
            self._admm = begun

    def is_final(self, step: int) -> bool:
        """Whether the masks are what they will be when ``step`` steps are done."""
        return step >= self._last

    def observe(self, program: Program) -> None:
        """Draw the weights: add the pull to their gradients."""
        if self._admm is not None:
            self._admm.draw()

    def update(self, program: Program, step: int) -> bool:
        """Begin to draw, project anew, or mask, as it is due after ``step`` steps; return whether masks are new."""
        if self._admm is not None and (step - self._first) % self._every == 0:
            self._admm.advance()
        if step == self._first and step < self._last:
            self._admm = self._made(program)
        if step != self._last:
            return False
        drawn = self._admm or self._made(program)
        self._admm = None
        program.set_masks({**program.masks, **drawn.masks()})
        return True

    def state(self) -> dict[str, Any]:
        """What a killed run needs to go on, beside the Program's masks."""
        return {"admm": self._admm.state() if self._admm is not None else None}

    def restore(self, program: Program, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state`; ``program`` has the masks of then."""
        self._admm = None
        if state["admm"] is not None:
            self._admm = self._made(program)
            self._admm.restore(state["admm"])

    def finish(self, before: Program, trained: Program) -> SparsityReport:
        """Record in ``trained``, which has the final masks, what was done to ``before``, and report it."""
        masks = [trained.masks[name] for name in self._densities]
        layers = maskable_layers(trained)
        made = SparsityReport(
            requested=f"densities of {len(masks)} layers",
            note=None,
            weights=sum(mask.kept.numel() for mask in masks),
            zeros=sum(mask.zeros for mask in masks),
            layers=sparse_layers(trained, layers, {}),
            before=before.count(),
            after=trained.count(),
        )
        note(trained, self._wanted.settings(), 0, made)
        return made

    def _made(self, program: Program) -> Admm:
        wanted = self._wanted
        return Admm(program, program.tensors, self._densities, pattern=wanted.pattern, rho=self._rho)
