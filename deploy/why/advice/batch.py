"""More samples in a run: weights are read once for all of them, and calls are made once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

from deploy.why.advice.base import Adviser, Proposal
from deploy.why.advice.trying import with_request
from deploy.why.case import Case

_FACTOR = 8
_SHARE = 0.1


class LargerBatch(Adviser):
    """Where calls and weights cost a noticeable share, samples together are cheaper than one by one."""

    name: ClassVar[str] = "batch"

    def propose(self, case: Case) -> Iterator[Proposal]:
        if not all(isinstance(spec.shape[0], str) for spec in case.benches[1].session.inputs if spec.shape):
            return
        parts = list(case.new_parts)
        fixed = sum(part.side.milliseconds for part in parts if _once(part.work.weights, part.work.activations))
        fixed += sum(part.side.milliseconds for part in parts if part.side.bound == "overhead")
        share = (fixed * case.scale + case.peak.call) / case.new_ms
        if share < _SHARE:
            return
        batch = case.request.batch * _FACTOR
        yield Proposal(
            change=f"run {batch} samples at a time, where they come that close together",
            label=f"run {batch} samples at a time",
            because=f"calls, and layers that read more weights than anything else, take {100 * min(share, 1):.0f} % of "
            "a run, and cost hardly more for several samples",
            how=f"measured with batch {batch}, for each {case.request.batch}",
            topic=self.name,
            trial=with_request(case, replace(case.request, batch=batch)),
        )


def _once(weights: int | None, activations: int | None) -> bool:
    """Whether an operator mostly reads weights."""
    return weights is not None and activations is not None and weights > activations
