"""A configuration as a point of the report: what it costs, what it is worth, and what was done to make it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from compress.pipeline.evidence import Evidence
from compress.pipeline.finetuning import Metrics

if TYPE_CHECKING:
    from compress import Program
    from deploy import Profile
    from deploy.records import Failure
    from deploy.report import Point

NO_NETWORK = "no network file is known for this file"
NO_ACCURACY = "accuracy unknown: no data given"
METRIC = "top1"


def points(
    evidences: Sequence[Evidence],
    accuracies: Sequence[Metrics | None],
    profiles: Sequence[Profile],
    failures: Sequence[Failure],
) -> list[Point]:
    """Return a point for every file under all conditions it was measured under; the first file is the baseline.

    A file that could not be measured has a point, too: it says why.
    """
    found = []
    for index, (evidence, metrics) in enumerate(zip(evidences, accuracies, strict=True)):
        role: Literal["baseline", "candidate"] = "candidate" if index else "baseline"
        mine = [profile for profile in profiles if profile.file.name == evidence.onnx.name]
        if mine:
            found += [_point(evidence, metrics, role, profile) for profile in mine]
        else:
            found.append(_point(evidence, metrics, role, None, _reason(evidence, failures)))
    return found


def of_profiles(profiles: Sequence[Profile]) -> list[Point]:
    """Return a point for every measurement of files of which nothing else is known."""
    from deploy.report import Point

    missing = {"accuracy": "compress profile measures no accuracy; compress report --data does", "macs": NO_NETWORK}
    return [Point(**as_measured(profile), name=profile.file.name, missing=missing) for profile in profiles]


def configuration(program: Program | None, precision: str | None) -> dict[str, Any]:
    """Return what a reader needs to make the file again: what was pruned and by which settings, patterns, precision."""
    made: dict[str, Any] = {}
    if program is not None:
        info = program.info
        made["model"] = info.model_ref or "not recorded"
        made["steps"] = ", ".join(step.verb for step in info.provenance) or "none recorded"
        if info.plan is not None:
            settings = {
                name: value for name, value in (info.plan.get("settings") or {}).items() if value not in (None, [], {})
            }
            made["pruned"] = settings or "settings not recorded"
            made["widths cut"] = _cut(info.plan)
        if program.masks:
            made["sparsity"] = _patterns(mask.pattern for mask in program.masks.values())
    if precision is not None:
        made["precision"] = precision
    return made


def _point(
    evidence: Evidence,
    metrics: Metrics | None,
    role: Literal["baseline", "candidate"],
    profile: Profile | None,
    reason: str | None = None,
) -> Point:
    from deploy.report import Point

    count = evidence.program.count() if evidence.program else None
    accuracy = None if metrics is None else metrics.get(METRIC)
    missing = {} if count else {"macs": NO_NETWORK, "params": NO_NETWORK}
    if accuracy is None:
        missing["accuracy"] = NO_ACCURACY if metrics is None else f"the metric is not {METRIC}"
    if reason:
        missing["latency"] = reason
    measured = as_measured(profile) if profile else {"file": evidence.onnx.name, "size": evidence.onnx.stat().st_size}
    return Point(
        **measured,
        name=evidence.onnx.name,
        role=role,
        accuracy=accuracy,
        metric=None if accuracy is None else METRIC,
        data=None if accuracy is None or metrics is None else metrics.get("data"),
        macs=count.macs if count else None,
        params=count.params if count else None,
        configuration=configuration(evidence.program, profile.file.precision if profile else None),
        missing=missing,
    )


def as_measured(profile: Profile) -> dict[str, Any]:
    """Return what a point says of the measurement of its file."""
    return {
        "file": profile.file.name,
        "sha256": profile.file.sha256,
        "size": profile.file.size,
        "target": profile.target,
        "latency": profile.p50,
        "conditions": profile.conditions,
    }


def _reason(evidence: Evidence, failures: Sequence[Failure]) -> str:
    mine = [failure for failure in failures if failure.file == evidence.onnx.name]
    return "; ".join(dict.fromkeys(f"{failure.kind}: {failure.reason}" for failure in mine)) or "not measured"


def _cut(plan: dict[str, Any]) -> str:
    """How many widths were cut, and to which share of their channels."""
    groups = [group for group in plan.get("groups", {}).values() if group.get("width")]
    shares = [len(group["keep"]) / group["width"] for group in groups]
    cut = [share for share in shares if share < 1]
    if not cut:
        return f"none of {len(shares)}"
    return f"{len(cut)} of {len(shares)}, to {100 * min(cut):.0f} to {100 * max(cut):.0f} % of their channels"


def _patterns(names: Iterable[str | None]) -> str:
    found = [name or "unstructured" for name in names]
    return ", ".join(f"{name} in {found.count(name)} layers" for name in dict.fromkeys(found))
