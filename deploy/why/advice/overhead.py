"""Fewer operators, where operators cost by their number and not by what they do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from deploy.why.advice.base import Adviser, Proposal, names
from deploy.why.case import Case


class FewerOperators(Adviser):
    """Layers so small that narrowing them saves nothing: cut their number."""

    name: ClassVar[str] = "operators"

    def propose(self, case: Case) -> Iterator[Proposal]:
        small = sorted(
            (part for part in case.new_parts if part.side.bound == "overhead" and not part.is_copy),
            key=lambda part: -part.side.milliseconds,
        )
        if len(small) < 2:
            return
        told = sum(part.side.milliseconds for part in small)
        yield Proposal(
            change=f"merge or leave out operators that do next to nothing: {names([part.name for part in small])}",
            label="merge or leave out operators that do next to nothing",
            because=f"{len(small)} operators are bound by the cost of their call, {told * case.scale:.3g} ms: narrower "
            "layers do not help them, fewer do",
            how="the sum of their times: what is saved at most, by leaving all of them out",
            topic=self.name,
            estimated=told * case.scale,
        )
