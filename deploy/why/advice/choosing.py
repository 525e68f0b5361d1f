"""Weigh all proposals, try the promising ones, and give the three that pay most; none where none pays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from compress.errors import CompressError
from deploy.statistics import Interval
from deploy.timing import Progress
from deploy.why.advice.base import Adviser, Proposal
from deploy.why.advice.batch import LargerBatch
from deploy.why.advice.copies import FewerCopies
from deploy.why.advice.overhead import FewerOperators
from deploy.why.advice.rounding import RoundedWidths
from deploy.why.advice.shifting import ShiftedCut
from deploy.why.advice.threads import OtherThreads
from deploy.why.advice.zeros import SparseOperators
from deploy.why.case import Case
from deploy.why.records import Advice

ADVISERS: Sequence[type[Adviser]] = (
    RoundedWidths,
    ShiftedCut,
    FewerCopies,
    FewerOperators,
    LargerBatch,
    OtherThreads,
    SparseOperators,
)
WORTH = 0.03  # of a run: what saves less is not worth the trouble
_MOST = 3


@dataclass(frozen=True)
class _Weighed:
    """A proposal and what came of it: advice, or the reason why it is none."""

    proposal: Proposal
    advice: Advice | None
    why_not: str = ""

    @property
    def saves(self) -> float:
        """Milliseconds of a run."""
        return self.advice.saves if self.advice else 0.0

    def describe(self) -> str:
        """The proposal in short and what it would save."""
        return f"{self.proposal.label}: {self.why_not or f'saves {self.saves:.3g} ms'}"


def advise(case: Case, *, seconds: float, progress: Progress) -> tuple[list[Advice], list[str]]:
    """Return the changes that pay most, best first, and what was weighed besides and why it is not among them."""
    proposals = [proposal for kind in ADVISERS for proposal in kind().propose(case)]
    trials = sum(1 for item in proposals if item.trial is not None and _is_promising(item, case))
    weighed: list[_Weighed] = []
    for done, item in enumerate(proposals):
        progress(done / len(proposals), f"trying: {item.label}")
        weighed.append(_weigh(item, case, seconds / max(trials, 1)))
    weighed.sort(key=lambda found: -found.saves)
    best: dict[str, _Weighed] = {}
    for found in weighed:
        if found.advice is not None:
            best.setdefault(found.proposal.topic, found)
    given = list(best.values())[:_MOST]
    advice = [found.advice for found in given if found.advice is not None]
    return advice, [found.describe() for found in weighed if found not in given]


def _is_promising(item: Proposal, case: Case) -> bool:
    return item.estimated is None or item.estimated >= WORTH * case.new_ms


def _weigh(item: Proposal, case: Case, seconds: float) -> _Weighed:
    if not _is_promising(item, case):
        return _Weighed(item, None, f"would save {max(item.estimated or 0.0, 0.0):.3g} ms at most")
    if item.trial is None:
        return _Weighed(item, _advice(item, item.estimated or 0.0, None, case))
    try:
        ratio = item.trial(seconds)
    except CompressError as error:
        return _Weighed(item, None, f"could not be tried ({error.what})")
    saved = case.new_ms * (1 - ratio.value)
    if ratio.high is None or ratio.high >= 1 or saved < WORTH * case.new_ms:
        said = f"{saved:.3g} ms, no more than noise" if saved > 0 else "nothing"
        return _Weighed(item, None, f"tried, and saves {said}")
    return _Weighed(item, _advice(item, saved, ratio, case))


def _advice(item: Proposal, saves: float, ratio: Interval | None, case: Case) -> Advice:
    low = None if ratio is None or ratio.high is None else case.new_ms * (1 - ratio.high)
    high = None if ratio is None or ratio.low is None else case.new_ms * (1 - ratio.low)
    return Advice(
        change=item.change,
        because=item.because,
        saves=saves,
        estimated=item.estimated,
        measured=None if ratio is None else saves,
        low=low,
        high=high,
        how=item.how,
    )
