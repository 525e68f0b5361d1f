"""``granularity="auto"``: for each group the step in which its width goes, from what a runtime computes together.

A width between two blocks takes as long as the next block. So widths are whole blocks, and a group that is no wider
than one stays as it is: less of it would save MACs and no time. Where targets cannot be met so, narrow groups go in
smaller steps first, then all groups of few blocks, and in the end all of them in the least step that the runtime
computes well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from compress.allocation import Granularity
from compress.axes.analysis import Analysis
from compress.axes.groups import Group
from compress.latency.staircase import Staircase
from compress.layer_kinds import kinds_by_group

_FEW = 4  # blocks: a group of fewer has hardly a choice in steps of whole ones
_UNKNOWN = 8  # channels, of layers that have no stairs


@dataclass(frozen=True)
class GroupStep:
    """The step of a group in channels, and why it is that."""

    step: int
    reason: str


Steps = Mapping[str, GroupStep]


def chosen_steps(granularity: int | Staircase, analysis: Analysis) -> Iterator[tuple[Granularity, Steps]]:
    """The granularities to try one after the other until the targets are met, each as allocation takes it and as the
    report says it (empty for a number).
    """
    if isinstance(granularity, int):
        yield granularity, {}
        return
    known: list[dict[str, int]] = []
    for steps in _levels(granularity, analysis):
        channels = {name: one.step for name, one in steps.items()}
        if channels not in known:
            known.append(channels)
            yield channels, steps


def told(granularity: int | Staircase, analysis: Analysis, steps: Steps) -> Granularity:
    """The granularity that the groups of ``analysis`` were cut in: ``steps`` as far as they name them."""
    if isinstance(granularity, int):
        return granularity
    usual, _ = next(chosen_steps(granularity, analysis))
    assert not isinstance(usual, int)
    return {name: steps[name].step if name in steps else step for name, step in usual.items()}


def _levels(staircase: Staircase, analysis: Analysis) -> Iterator[Steps]:
    kinds = kinds_by_group(analysis)
    blocks = {group.name: _block(staircase, group, kinds[group.name]) for group in analysis.prunable}
    yield {name: block.whole() for name, block in blocks.items()}
    yield {name: block.whole() if block.is_wide else block.smaller() for name, block in blocks.items()}
    yield {name: block.half() if block.has_few else block.whole() for name, block in blocks.items()}
    yield {name: block.least() for name, block in blocks.items()}


@dataclass(frozen=True)
class _Block:
    """What is computed together of a group's ``channels``, by layers of ``kind``; multiples of ``alignment`` are
    still computed in blocks.
    """

    channels: int
    block: int
    alignment: int
    kind: str
    runtime: str

    @property
    def is_wide(self) -> bool:
        return self.channels > self.block

    @property
    def has_few(self) -> bool:
        return self.channels < _FEW * self.block

    def whole(self) -> GroupStep:
        if self.kind and not self.is_wide:
            return GroupStep(self.block, f"no wider than the {self._together}: less of it saves no time")
        return GroupStep(self.block, self._together)

    def smaller(self) -> GroupStep:
        """The largest part of a block that leaves a choice to a narrow group."""
        return self._narrow(self._choice())

    def half(self) -> GroupStep:
        """Half of the block, or of what :meth:`smaller` takes."""
        if not self.is_wide:
            return self._narrow(max(self._choice() // 2, self.alignment))
        return self._part(max(self.block // 2, self.alignment))

    def least(self) -> GroupStep:
        """The least step that is still computed in blocks."""
        return self._part(self.alignment) if self.is_wide else self._narrow(self.alignment)

    def _choice(self) -> int:
        step = self.block
        while step > self.alignment and step >= self.channels:
            step //= 2
        return step

    def _narrow(self, step: int) -> GroupStep:
        return GroupStep(step, f"no wider than the {self._together}, and the target takes less of it")

    def _part(self, step: int) -> GroupStep:
        if step == self.block:
            return self.whole()
        return GroupStep(step, f"part of the {self._together}: the target is not met in whole ones")

    @property
    def _together(self) -> str:
        if not self.kind:
            return f"{self.block} channels that suit most runtimes (no layer of a kind that was measured)"
        return f"{self.block} channels that {self.runtime} computes together in a {self.kind}"


def _block(staircase: Staircase, group: Group, kinds: Sequence[str]) -> _Block:
    """The largest block of the layers that the group's width runs through."""
    known = [(staircase.stairs[kind], kind) for kind in kinds if kind in staircase.stairs]
    channels = group.width * group.cell
    if not known:
        return _Block(channels, _UNKNOWN, 1, "", staircase.key.runtime)
    stairs, kind = max(known, key=lambda one: one[0].block)
    alignment = max(one.alignment for one, _ in known)
    return _Block(channels, max(stairs.block, alignment), alignment, kind, staircase.key.runtime)
