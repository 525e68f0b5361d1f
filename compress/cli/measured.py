"""How measurements are shown: a table for each set of conditions, operators, and what could not be measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from compress.cli.console import Console
from compress.pipeline.tables import amount, milliseconds, percent, size

if TYPE_CHECKING:
    from deploy import Measured, Profile
    from deploy.records import Failure, OperatorTime, Quantile

_TOLD = 5
_ABSENT = ("unavailable", "disconnected")
_COLUMNS = (
    "file",
    "precision",
    "p50",
    "95 % interval",
    "p90",
    "p95",
    "p99",
    "throughput",
    "memory",
    "load",
    "first run",
)
_MOST_OPERATORS = 12
_LONGEST = 60  # characters of a list of layers


def show(console: Console, profiles: Sequence[Profile], failures: Sequence[Failure], *, operators: bool) -> None:
    """Print everything that was measured, and then what was not."""
    groups = comparable(profiles)
    for group in groups:
        _show_group(console, group)
    _show_throughput(console, profiles)
    if len(groups) > 1:
        console.line("figures of different tables were not measured alike, and are not comparable")
    if operators:
        for profile in profiles:
            _show_operators(console, profile, several=len(groups) > 1)
    if failures:
        _show_failures(console, failures)


def comparable(profiles: Sequence[Profile]) -> list[list[Profile]]:
    """Return ``profiles`` grouped by what was measured alike, in their order."""
    groups: list[list[Profile]] = []
    for profile in profiles:
        home = next((group for group in groups if group[0].incomparable(profile) is None), None)
        if home is None:
            groups.append([profile])
        else:
            home.append(profile)
    return groups


def trouble(measured: Measured) -> tuple[str | None, int]:
    """Return what to say of failures, and the exit code: 2, or 4 where all that failed was not available."""
    failures = measured.failures
    if not failures:
        return None, 0
    some = "nothing could be measured" if not measured.profiles else f"{len(failures)} could not be measured"
    absent = all(failure.kind in _ABSENT or _device_hangs(failure) for failure in failures)
    return f"{some}: {'; '.join(_told(failures))}", 4 if absent else 2


def _device_hangs(failure: Failure) -> bool:
    """A device that answers no more is not available; a file that hangs here is a fault of the file's."""
    return failure.kind == "hung" and failure.target != "here"


def _told(failures: Sequence[Failure]) -> list[str]:
    """Each reason once, with the files and places that it holds for; what to do, where it is known."""
    places: dict[tuple[str, str | None], list[str]] = {}
    for failure in failures:
        there = "" if failure.target == "here" else f" on {failure.target}"
        places.setdefault((failure.reason, failure.hint), []).append(f"{failure.file} in {failure.runtime}{there}")
    told = [
        f"{', '.join(dict.fromkeys(where))}: {reason}{f' ({hint})' if hint else ''}"
        for (reason, hint), where in places.items()
    ]
    return told if len(told) <= _TOLD else [*told[:_TOLD], f"and {len(told) - _TOLD} more reasons; --json has all"]


def _show_group(console: Console, group: Sequence[Profile]) -> None:
    first = group[0]
    device = "" if first.target == "here" else f"{first.target}: "
    console.table(_COLUMNS, [_row(profile) for profile in group], title=f"{device}{_conditions(first)}")
    drifting = [profile.file.name for profile in group if not profile.warmup.stationary]
    warm = f"{first.runs} runs each after {first.warmup.runs} warm-up runs"
    console.line(f"  {warm}{', which were still drifting' if drifting else ''}; {first.methodology.order}")
    console.line(f"  {_sensors(first)}")
    cores = first.environment.usable_cores
    if first.conditions.threads > cores:
        console.line(f"  {first.conditions.threads} threads on {cores} usable cores: they wait for one another")
    console.line()


def _conditions(profile: Profile) -> str:
    under = profile.conditions
    inputs = ", ".join(f"{name} {kind}" for name, kind in under.inputs.items()) or "no inputs"
    return f"{under.runtime} {under.version}, {_threads(profile)}, batch {under.batch}, {under.device}; {inputs}"


def _threads(profile: Profile) -> str:
    return "1 thread" if profile.conditions.threads == 1 else f"{profile.conditions.threads} threads"


def _row(profile: Profile) -> tuple[str, ...]:
    return (
        f"{profile.file.name} ({size(profile.file.size)})",
        profile.file.precision,
        milliseconds(profile.p50.value),
        _interval(profile.p50),
        milliseconds(profile.p90.value),
        milliseconds(profile.p95.value if profile.p95 else None),
        milliseconds(profile.p99.value),
        _rate(profile.throughput),
        size(profile.peak_memory) if profile.peak_memory else "unknown",
        milliseconds(profile.load_time),
        milliseconds(profile.first_inference),
    )


def _interval(quantile: Quantile) -> str:
    if quantile.low is None or quantile.high is None:
        return "too few runs"
    return f"{quantile.low:.3g} to {quantile.high:.3g}"


def _sensors(profile: Profile) -> str:
    if profile.no_sensors is not None:
        return f"no clock or temperature: {profile.no_sensors}"
    told = []
    for name, unit in (("clock", "MHz"), ("temperature", "°C")):
        values = [value for sample in profile.sensors if (value := getattr(sample, name)) is not None]
        if values:
            told.append(f"{name} {min(values):.0f} to {max(values):.0f} {unit}")
    throttled = [sample.throttled for sample in profile.sensors if sample.throttled is not None]
    if throttled:
        told.append(f"slowed for heat {throttled[-1]} times" if throttled[-1] else "never slowed for heat")
    return ", ".join(told)


def _show_throughput(console: Console, profiles: Sequence[Profile]) -> None:
    """A table of threads and batches for each runtime and device, where there are several of either."""
    runs = {(one.target, one.conditions.runtime): None for one in profiles}
    for target, runtime in runs:
        here = [one for one in profiles if (one.target, one.conditions.runtime) == (target, runtime)]
        told = {(one.file.name, one.conditions.threads, one.conditions.batch): one.throughput for one in here}
        batches = sorted({batch for _, _, batch in told})
        rows = list(dict.fromkeys((file, threads) for file, threads, _ in told))
        if len(batches) == 1 and len({threads for _, threads in rows}) == 1:
            continue
        console.table(
            ("file", "threads", *(f"batch {batch}" for batch in batches)),
            [
                (file, threads, *(_rate(told.get((file, threads, batch))) for batch in batches))
                for file, threads in rows
            ],
            title=f"samples per second in {runtime}{'' if target == 'here' else f' on {target}'}",
        )


def _rate(throughput: float | None) -> str:
    return "unknown" if throughput is None else f"{amount(float(f'{throughput:.4g}'))}/s"


def _show_operators(console: Console, profile: Profile, *, several: bool) -> None:
    under = profile.conditions
    where = f" in {under.runtime}, {_threads(profile)}, batch {under.batch}" if several else ""
    title = f"operators of {profile.file.name}{where}"
    if profile.no_operators is not None:
        console.line(f"no {title}: {profile.no_operators}")
        return
    whole = sum(operator.milliseconds for operator in profile.operators)
    ranked = sorted(profile.operators, key=lambda operator: -operator.milliseconds)
    shown, rest = ranked[:_MOST_OPERATORS], ranked[_MOST_OPERATORS:]
    rows = [_operator_row(operator, whole) for operator in shown]
    if rest:
        left = sum(operator.milliseconds for operator in rest)
        rows.append((f"{len(rest)} more", "", milliseconds(left), percent(left / whole if whole else 0.0), ""))
    console.table(("operator", "kind", "time", "share", "layers"), rows, title=title)
    console.line(f"  {milliseconds(whole)} in operators, of a median run of {milliseconds(profile.p50.value)}")


def _operator_row(operator: OperatorTime, whole: float) -> tuple[str, ...]:
    layers = ", ".join(operator.layers)
    return (
        _short(operator.name),
        operator.kind,
        milliseconds(operator.milliseconds),
        percent(operator.milliseconds / whole if whole else 0.0),
        _short(layers) or "no weights",
    )


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _show_failures(console: Console, failures: Sequence[Failure]) -> None:
    rows = [
        (
            failure.file,
            failure.runtime if failure.target == "here" else f"{failure.runtime} on {failure.target}",
            failure.threads,
            failure.batch,
            failure.kind,
            failure.reason + (f"; {failure.hint}" if failure.hint else ""),
        )
        for failure in failures
    ]
    console.table(("file", "runtime", "threads", "batch", "what", "why"), rows, title="not measured")
