"""Round widths to what the runtime lays out well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from deploy.why import widths
from deploy.why.advice.base import Adviser, Proposal, names
from deploy.why.advice.trying import with_file
from deploy.why.case import Case
from deploy.why.graph import Graph, key
from deploy.why.rows import Match
from deploy.why.widths import Width

_STEPS = (4, 8, 16)  # where the runtime does not tell its blocks


class RoundedWidths(Adviser):
    """The same network with every width at the nearest multiple of what the runtime lays out together."""

    name: ClassVar[str] = "rounding"

    def propose(self, case: Case) -> Iterator[Proposal]:
        graph = case.graphs[1]
        found = [width for width in widths.find(graph) if not width.fixed]
        before = widths.multiply_adds(graph, {}, found)
        for step in _steps(case):
            sizes = {width.name: nearest(width.size, step) for width in found if width.size % step}
            if not sizes or not before:
                continue
            share = widths.multiply_adds(graph, sizes, found) / before
            yield Proposal(
                change=f"round widths to multiples of {step} (compress prune --granularity {step}): "
                f"{_listed(case, sizes, found)}",
                label=f"round widths to multiples of {step}",
                because=f"{len(sizes)} of {len(found)} widths are no multiple of {step}: {_why(case)}",
                how=f"estimated with every layer at the MACs a second that it reaches in {case.benches[0].file.name}, "
                f"without the copies that the runtime put in; measured on the file with these widths at the nearest "
                f"multiple, {100 * share:.0f} % of its MACs",
                topic=self.name,
                estimated=_estimate(case, graph, sizes, found),
                trial=with_file(case, lambda sizes=sizes: widths.resize(graph, sizes, found)),  # type: ignore[misc]
            )


def nearest(size: int, step: int) -> int:
    """Return the multiple of ``step`` that is nearest to ``size``, at least one."""
    return max(step, (size + step // 2) // step * step)


def _steps(case: Case) -> Sequence[int]:
    peak = case.peak
    if peak.block is None or peak.alignment is None:
        return _STEPS
    return sorted({peak.alignment, max(peak.alignment, peak.block // 2), peak.block})


def _estimate(case: Case, graph: Graph, sizes: Mapping[str, int], found: Sequence[Width]) -> float:
    """Milliseconds of a run that the rounded file saves at most."""
    counts = widths.each(graph, sizes, found)
    saved = 0.0
    for pair, _ in case.found:
        if pair.new is not None:
            saved += pair.new.side.milliseconds - _expected(pair, counts)
    return saved * case.scale


def _expected(pair: Match, counts: Mapping[str, float]) -> float:
    """The milliseconds of a part of the new file after rounding."""
    assert pair.new is not None
    if pair.new.is_copy and not pair.new.side.nodes:  # the runtime put it in, and may do without
        return 0.0
    if pair.base is None:
        return pair.new.side.milliseconds
    macs = sum(counts.get(key(node), 0.0) for node in pair.new.nodes)
    if not pair.base.side.macs or not macs:
        return pair.new.side.milliseconds
    return min(pair.base.side.milliseconds * macs / pair.base.side.macs, pair.new.side.milliseconds)


def _listed(case: Case, sizes: Mapping[str, int], found: Sequence[Width]) -> str:
    """The widths whose layers take longest, as what they are and what they would be."""
    spent: dict[str, float] = {}
    for part in case.new_parts:
        for node in part.nodes:
            spent[key(node)] = part.side.milliseconds
    rounded = sorted(
        (width for width in found if width.name in sizes),
        key=lambda width: -sum(spent.get(name, 0.0) for name in {*width.makers, *width.users, *width.groups}),
    )
    return names([f"{width.name.removesuffix('.weight')} {width.size} to {sizes[width.name]}" for width in rounded], 5)


def _why(case: Case) -> str:
    lost = [
        f"{cause.name} keep {cause.milliseconds * case.cause_scale:.3g} ms"
        for cause in case.account.causes
        if "widths" in cause.name and cause.milliseconds > 0
    ]
    return "; ".join(lost) or "the runtime may pad them"
