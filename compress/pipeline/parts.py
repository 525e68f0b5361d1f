"""What a report holds on request, because it takes long: the explanation and the compatibility matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from compress.errors import CompressError
from compress.pipeline import compatibility, why

if TYPE_CHECKING:
    from compress.pipeline.report import Screen
    from compress.pipeline.reporting import Part, ReportRequest
    from deploy.compatibility import Matrix
    from deploy.report import Report, Section
    from deploy.why import Explanation


def add_parts(report: Report, request: ReportRequest, screen: Screen) -> None:
    """Add what ``request.parts`` names. What cannot be had is missing, with the reason: the rest was measured."""
    makers: dict[Part, tuple[Section, Callable[[ReportRequest, Screen], Explanation | Matrix]]] = {
        "why": ("why", _why),
        "compatibility": ("matrix", _matrix),
    }
    for part, (section, make) in makers.items():
        if part not in request.parts:
            report.missing.setdefault(section, f"not asked for (--with {part})")
            continue
        try:
            setattr(report, section, make(request, screen))
        except CompressError as error:
            report.missing[section] = str(error)


def _why(request: ReportRequest, screen: Screen) -> Explanation:
    wanted = why.WhyRequest(request.baseline, request.candidates[0], **request.conditions())
    return why.run(wanted, screen)


def _matrix(request: ReportRequest, screen: Screen) -> Matrix:
    wanted = compatibility.CompatibilityRequest(
        files=request.files,
        capabilities=compatibility.CAPABILITIES,
        sizes=request.sizes,
        threads=request.threads,
        seed=request.seed,
    )
    return compatibility.run(wanted, screen)
