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
        for layout in (True, False):
            parts = sorted((part for part in copies if _is_between_layouts(part) is layout), key=_milliseconds)
            if parts:
                yield self._proposal(case, parts, layout=layout)

    def _proposal(self, case: Case, parts: list[Part], *, layout: bool) -> Proposal:
        told = sum(part.side.milliseconds for part in parts)
        kinds = list(dict.fromkeys(kind for part in parts for kind in part.side.kinds))
        purposes = (
            _layout(case, parts)
            if layout
            else "; ".join(dict.fromkeys(_PURPOSE[kind] for kind in kinds if kind in _PURPOSE))
        )
        return Proposal(
            change=f"{purposes} ({names([part.name for part in parts])})",
            label=f"do without {', '.join(kinds)}",
            because=f"{len(parts)} operators copy or convert and compute nothing: {told * case.scale:.3g} ms",
            how="the sum of their own times: what is saved at most, by leaving all of them out",
            topic=RoundedWidths.name if layout else self.name,  # widths are what they come from
            estimated=told * case.scale,
        )


def _layout(case: Case, copies: list[Part]) -> str:
    """What the copies come from: widths, or operators that the runtime computes in plain order only."""
    if any(finding.kind == "plain" for pair, found in case.found if pair.new for finding in found):
        return "give layers widths that fit the runtime's blocks of channels"
    order = list(case.new_parts)
    plain: dict[str, None] = {}
    for at, part in enumerate(order):
        if part in copies:
            # What is copied into plain order is used next; what is copied out of it was made before.
            into_plain = "ReorderOutput" in part.side.kinds
            near = order[at + 1 :] if into_plain else order[at - 1 :: -1] if at else []
            plain |= {other.side.kinds[0]: None for other in [other for other in near if not other.is_copy][:1]}
    return f"between convolutions, do without what is computed in plain order only ({', '.join(plain) or 'outputs'})"


def _is_between_layouts(part: Part) -> bool:
    """Whether the runtime put it in, to go from one layout of channels to another."""
    return not set(part.side.kinds) & set(_PURPOSE)


def _milliseconds(part: Part) -> float:
    return -part.side.milliseconds
