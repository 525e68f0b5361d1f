"""Cut where time falls with MACs, not where it does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from deploy.why import widths
from deploy.why.advice.base import Adviser, Proposal, names
from deploy.why.advice.rounding import nearest
from deploy.why.advice.trying import with_file
from deploy.why.case import Case
from deploy.why.graph import Graph, key
from deploy.why.parts import Part
from deploy.why.widths import Width

_POOR = 0.5  # of the milliseconds that a layer's MACs promised: what saved less was not worth the cut
_LEAST = 0.6  # of its channels: no width is cut further than this for the trial
_STEPS = 12
_GRANULARITIES = (32, 16, 8, 4, 2)


class ShiftedCut(Adviser):
    """Give widths back whose cut saved little, and cut those further that are bound by compute, to as many MACs."""

    name: ClassVar[str] = "shifting"

    def propose(self, case: Case) -> Iterator[Proposal]:
        new = {width.name: width for width in widths.find(case.graphs[1]) if not width.fixed}
        old = {width.name: width for width in widths.find(case.graphs[0]) if not width.fixed}
        cut = [new[name] for name in new if name in old and old[name].size > new[name].size]
        returns = {width.name: _returned(case, width) for width in cut}
        poor = {width.name: old[width.name].size for width in cut if returns[width.name] < _POOR}
        good = [width for width in cut if returns[width.name] >= _POOR and _is_bound_by_compute(case, width)]
        if not poor or not good:
            return
        sizes = _balanced(case.graphs[1], list(new.values()), poor, good, _step(list(new.values())))
        if sizes is None:
            return
        back = [f"{name.removesuffix('.weight')} {new[name].size} to {size}" for name, size in poor.items()]
        further = [
            f"{width.name.removesuffix('.weight')} {width.size} to {sizes[width.name]}"
            for width in good
            if sizes[width.name] != width.size
        ]
        yield Proposal(
            change=f"cut elsewhere: give back {names(back)}; cut further {names(further)}",
            because=f"{len(poor)} widths were cut for less than half of the time that their MACs promised; the others "
            "are bound by compute",
            label="cut elsewhere",
            how="measured on a file with as many MACs, of which no accuracy is known",
            topic=self.name,
            trial=with_file(case, lambda: widths.resize(case.graphs[1], sizes, list(new.values()))),
        )


def _step(found: Sequence[Width]) -> int:
    """What the widths are multiples of already: it stays so, lest the trial shows what rounding is worth."""
    fitting = (step for step in _GRANULARITIES if sum(width.size % step == 0 for width in found) >= 0.9 * len(found))
    return next(fitting, 1)


def _returned(case: Case, width: Width) -> float:
    """The milliseconds that the layers of a width lost, as a share of what their MACs promised."""
    touched = {*width.makers, *width.users, *width.groups}
    promised = saved = 0.0
    for pair, _ in case.found:
        if pair.base is None or pair.new is None or not touched & {key(node) for node in pair.new.nodes}:
            continue
        before, after = pair.base.side, pair.new.side
        if before.macs and after.macs is not None:
            promised += before.milliseconds * (1 - after.macs / before.macs)
            saved += before.milliseconds - after.milliseconds
    return saved / promised if promised > 0 else 1.0


def _is_bound_by_compute(case: Case, width: Width) -> bool:
    touched = {*width.makers, *width.users}
    parts: list[Part] = [part for part in case.new_parts if touched & {key(node) for node in part.nodes}]
    spent = sum(part.side.milliseconds for part in parts)
    return spent > 0 and sum(p.side.milliseconds for p in parts if p.side.bound == "compute") > 0.5 * spent


def _balanced(
    graph: Graph, found: Sequence[Width], poor: Mapping[str, int], good: Sequence[Width], step: int
) -> dict[str, int] | None:
    """Sizes with the poor widths given back and the good ones cut until the MACs are those of the file."""
    wanted = widths.multiply_adds(graph, {}, found)
    for tried in range(_STEPS + 1):
        share = 1 - (1 - _LEAST) * tried / _STEPS
        sizes = dict(poor) | {width.name: min(nearest(int(width.size * share), step), width.size) for width in good}
        if widths.multiply_adds(graph, sizes, found) <= wanted:
            return sizes
    return None
