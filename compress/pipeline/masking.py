"""Masks in the prune job: what the options say, and masking at once or during the finetuning."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from compress.errors import InputError
from compress.pipeline.reporter import Reporter

if TYPE_CHECKING:
    from compress import Program
    from compress.data import DataSource
    from compress.sparsity.gradual import GradualSparsity
    from compress.sparsity.request import SparsityRequest
    from compress.sparsity.sparsifying import SparsifyResult

ONE_SHOT, CUBIC = "one-shot", "cubic"


@dataclass(frozen=True)
class Masking:
    """What to mask: the options of the same names. Nothing where neither ``sparsity`` nor ``pattern`` is given."""

    sparsity: str | None = None
    pattern: str | None = None
    sparsity_criterion: str = "magnitude"
    sparsity_allocation: str = "uniform"
    sparsity_schedule: str = ONE_SHOT
    sparsity_least: float = 0.01
    dense: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()

    @property
    def wanted(self) -> bool:
        """Whether there is anything to mask."""
        return self.sparsity is not None or self.pattern is not None

    def check(self, *, has_data: bool, epochs: int) -> None:
        """Fail before any work starts. Raises :class:`compress.errors.CompressError` naming the option."""
        if not self.wanted:
            return
        if self.request(seed=0).make_criterion().needs_data and not has_data:
            raise InputError(
                f"--sparsity-criterion {self.sparsity_criterion} needs --data",
                hint="give --data, or use --sparsity-criterion magnitude",
            )
        if self.sparsity_schedule == CUBIC and not epochs:
            raise InputError(
                "--sparsity-schedule cubic sets weights to zero while training",
                hint="give --data and --epochs, or use --sparsity-schedule one-shot",
            )

    def request(self, *, seed: int) -> SparsityRequest:
        """The request as it was given. Raises :class:`compress.errors.PlanError` for a wrong name or number."""
        from compress.sparsity.request import SparsityRequest

        return SparsityRequest(
            self.sparsity,
            self.pattern or "unstructured",
            self.sparsity_criterion,
            self.sparsity_allocation,
            self.dense,
            self.mask,
            self.sparsity_least,
            seed,
        )

    def request_for(self, program: Program, dense: Program, *, seed: int) -> SparsityRequest:
        """The request for ``program``, which cutting channels made of ``dense``: shares of MACs and parameters are
        given of ``dense``.

        Raises:
            InputError: cutting channels went as far as the masks were to go.
        """
        from compress.sparsity.request import SPARSITY

        given = self.request(seed=seed)
        measure, amount = given.goal
        if measure == SPARSITY or program is dense:
            return given
        left = getattr(program.count(), measure) / max(getattr(dense.count(), measure), 1)
        if amount >= left:
            raise InputError(
                f"cutting channels leaves {measure}={left:.3f}, so there is nothing to mask for {measure}={amount:g}",
                hint="let --sparsity leave less, or cut fewer channels",
            )
        return replace(given, target=f"{measure}={amount / left}")

    def gradual(self, program: Program, dense: Program, *, seed: int) -> GradualSparsity | None:
        """What finetuning is to do about zeros: None where they are there already, or not wanted."""
        if not self.wanted or self.sparsity_schedule != CUBIC:
            return None
        from compress.sparsity.gradual import GradualSparsity

        return GradualSparsity(self.request_for(program, dense, seed=seed))


def masked_at_once(
    program: Program,
    dense: Program,
    masking: Masking,
    source: DataSource | None,
    reporter: Reporter,
    *,
    seed: int,
) -> SparsifyResult | None:
    """Mask ``program``, which cutting channels made of ``dense``; None where the finetuning is to do it, or nobody.

    Raises:
        compress.errors.CompressError: as :func:`compress.sparsify`.
    """
    if not masking.wanted or masking.sparsity_schedule == CUBIC:
        return None
    from compress.sparsity.sparsifying import sparsify_as

    with reporter.step("choosing weights to be zero"):
        return sparsify_as(program, masking.request_for(program, dense, seed=seed), data=source)
