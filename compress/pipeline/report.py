"""Reports of measurements, or of an explanation, alone; and how any report is written."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from compress.pipeline.figures import latency_rows, size_row
from compress.pipeline.points import of_profiles
from compress.pipeline.profile import Gauge
from compress.pipeline.reporter import Reporter

if TYPE_CHECKING:
    from deploy import Profile
    from deploy.records import Failure
    from deploy.report import Report
    from deploy.why import Explanation


def from_profiles(profiles: Sequence[Profile], failures: Sequence[Failure] = ()) -> Report:
    """Return a report of measurements alone; two files measured alike are also put side by side."""
    from deploy.report import Report

    several = len({profile.file.name for profile in profiles}) == len(profiles) == 2
    pair = list(profiles) if several and profiles[0].target == profiles[1].target else []
    names = dict.fromkeys([profile.file.name for profile in profiles] + [failure.file for failure in failures])
    return Report(
        title=f"Profile of {', '.join(names)}",
        created=now(),
        profiles=list(profiles),
        failures=list(failures),
        points=of_profiles(profiles),
        figures=[size_row(pair[0].file.size, pair[1].file.size), *latency_rows(*pair)] if pair else [],
        environment=profiles[0].environment if profiles else None,
        missing={
            "source": "compress profile measures files; compress report also tells how they were made",
            "comparison": "not measured in pairs; compress gate and compress report do that",
        },
    )


def from_explanation(found: Explanation) -> Report:
    """Return a report of two files taken apart."""
    from deploy import environment
    from deploy.report import FigureRow, Report

    return Report(
        title=f"Why {found.new.name} is as fast as it is against {found.base.name}",
        created=now(),
        figures=[
            FigureRow(name="file size", unit="bytes", before=found.base.size, after=found.new.size),
            FigureRow(
                name="MACs",
                unit="count",
                before=found.base_macs,
                after=found.new_macs,
                conditions=f"batch {found.conditions.batch}, of the nodes that the runtime runs",
                missing=None if found.base_macs and found.new_macs else "shapes of some values are not known",
            ),
            FigureRow(
                name="latency p50",
                unit="ms",
                before=found.base_ms,
                after=found.new_ms,
                conditions=found.conditions.describe(),
            ),
        ],
        why=found,
        environment=environment.capture(),
        missing={
            "source": "compress why measures files; compress report also tells how they were made",
            "comparison": "compress gate and compress report compare files",
        },
    )


class Screen(Reporter, Gauge, Protocol):
    """What a report needs of its caller: messages, steps and bars."""


def write(report: Report, paths: Sequence[Path], *, overwrite: bool) -> None:
    """Write ``report`` to every path; the ending decides the form."""
    from deploy import report as reports

    for path in paths:
        reports.write(report, path, overwrite=overwrite)


def now() -> str:
    """Return the time that a report is dated with: ISO 8601, in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
