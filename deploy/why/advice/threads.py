"""Another number of threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import ClassVar

from deploy.why.advice.base import Adviser, Proposal
from deploy.why.advice.trying import other_threads
from deploy.why.case import Case


class OtherThreads(Adviser):
    """All processors where fewer were measured; one where more were."""

    name: ClassVar[str] = "threads"

    def propose(self, case: Case) -> Iterator[Proposal]:
        here, now = _processors(), case.request.threads
        for threads in sorted({1, here} - {now}):
            yield Proposal(
                change=f"run it with {threads} {'thread' if threads == 1 else 'threads'}",
                label=f"run it with {threads} {'thread' if threads == 1 else 'threads'}",
                because=f"this machine has {here} processors, and {now} {'is' if now == 1 else 'are'} in use; the base "
                "file may gain as well",
                how=f"measured with {threads} against {now}",
                topic=self.name,
                trial=other_threads(case, threads),
            )


def _processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
