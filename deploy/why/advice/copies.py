"""Take nodes out of the file that copy or convert and compute nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from deploy.why.advice.base import Adviser, Proposal, names
from deploy.why.advice.rounding import RoundedWidths
from deploy.why.case import Case
from deploy.why.parts import Part

_PURPOSE = {
    "Transpose": "export the network in the layout that the runtime computes in, so that it needs no Transpose",
    "Cast": "keep one type throughout, so that it needs no Cast",
    "QuantizeLinear": "quantise what lies between too, or leave these layers in floats",
    "DequantizeLinear": "quantise what lies between too, or leave these layers in floats",
}


class FewerCopies(Adviser):
    """Copies that the file asks for, and those that the runtime put in."""

    name: ClassVar[str] = "copies"

    def propose(self, case: Case) -> Iterator[Proposal]:
        copies = [part for part in case.new_parts if part.is_copy]
        for written in (True, False):
            parts = sorted((part for part in copies if bool(part.side.nodes) is written), key=_milliseconds)
            if parts:
                yield self._proposal(case, parts, written=written)

    def _proposal(self, case: Case, parts: list[Part], *, written: bool) -> Proposal:
        told = sum(part.side.milliseconds for part in parts)
        kinds = list(dict.fromkeys(kind for part in parts for kind in part.side.kinds))
        purposes = list(dict.fromkeys(_PURPOSE[kind] for kind in kinds if kind in _PURPOSE)) if written else []
        change = "; ".join(purposes) or "give neighbouring layers widths that need no copy between layouts"
        return Proposal(
            change=f"{change} ({names([part.name for part in parts])})",
            label=f"do without {', '.join(kinds)}",
            because=f"{len(parts)} {'nodes of the file' if written else 'copies that the runtime put in'} copy or "
            f"convert and compute nothing: {told * case.scale:.3g} ms",
            how="the sum of their own times: what is saved at most, by leaving all of them out",
            topic=self.name if written else RoundedWidths.name,  # widths are what they come from
            estimated=told * case.scale,
        )


def _milliseconds(part: Part) -> float:
    return -part.side.milliseconds
