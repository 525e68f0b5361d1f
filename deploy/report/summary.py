"""The top of the page: one sentence, one verdict, the figures that matter."""

from __future__ import annotations

import math
import re
from collections import Counter

from deploy.records import Profile
from deploy.report.panels import Group, groups
from deploy.report.schema import FigureRow, Report
from deploy.report.text import change, escape, number

_TILES = ("macs", "param", "size", "accuracy", "latency p50", "memory")
_VERDICTS = {
    "pass": ("good", "Gate passed"),
    "fail": ("bad", "Gate failed"),
    "inconclusive": ("unsure", "Gate inconclusive"),
    "unresolvable": ("unsure", "Gate could not decide"),
}


def find(report: Report, word: str) -> FigureRow | None:
    """Return the first figure whose name contains ``word``, whatever the case; top-1 counts as accuracy."""
    words = ("accuracy", "top1", "top-1", "top 1") if word == "accuracy" else (word,)
    rows = (row for row in report.figures if any(each in row.name.lower() for each in words))
    return next(rows, None)


def headline(report: Report) -> str:
    """Return the one sentence that says what came of it, as plain text."""
    changes = [part for part in (_less(report), _speed(report)) if part]
    if not changes and find(report, "accuracy") is None:
        return _searched(report) or _spaces(report) or _explained(report) or _matrix(report) or _profiled(report)
    parts = [*changes, _accuracy(report)]
    sentence = ", ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]}."


def verdict(report: Report) -> tuple[str, str, str]:
    """Return the gate's verdict as tone (``good``, ``bad``, ``unsure``, ``none``), title and plain text."""
    if report.gate is None:
        return "none", "No gate verdict", report.missing.get("gate", "the gate was not run")
    tone, title = _VERDICTS[report.gate.status]
    return tone, title, report.gate.text.partition(": ")[2] or report.gate.text


def banner(report: Report) -> str:
    """Return the gate's verdict as a coloured line, or why there is none, as HTML; nothing where it is no question."""
    if not is_measured(report):
        return ""
    tone, title, text = verdict(report)
    return f'<p class="banner {tone}"><strong>{title}:</strong> <span>{escape(text)}</span></p>'


def tiles(report: Report) -> str:
    """Return the main figures as tiles; a figure that is not there says so."""
    if not is_measured(report):
        return ""
    return f'<div class="tiles">{"".join(_tile(report, word) for word in _TILES)}</div>'


def is_measured(report: Report) -> bool:
    """Whether the report is about figures; a matrix, an explanation or a search alone is not."""
    alone = report.matrix or report.why or report.search or report.spaces
    return bool(report.figures or report.profiles or report.gate or not alone)


def _tile(report: Report, word: str) -> str:
    row = find(report, word)
    if row is None:
        if word not in ("accuracy", "latency p50"):
            return ""
        if word != "accuracy" and report.profiles:
            return "".join(_profile_tile(profile) for profile in report.profiles[:6])
        section = "accuracy" if word == "accuracy" else "latency"
        reason = report.missing.get(section, "not measured")  # type: ignore[call-overload]
        return f'<div class="tile"><h3>{section}</h3><p class="absent">no {section}: {escape(reason)}</p></div>'
    if row.before is None and row.after is None:
        reason = escape(row.missing or "not given")
        return f'<div class="tile"><h3>{escape(row.name)}</h3><p class="absent">{reason}</p></div>'
    return (
        f'<div class="tile"><h3>{escape(row.name)}</h3><p class="now">{escape(number(row.after, row.unit))}</p>'
        f'<p class="was">from {escape(number(row.before, row.unit))}'
        f' <span class="{tone_of(row)}">{escape(change(row.before, row.after, row.unit))}</span></p></div>'
    )


def _profile_tile(profile: Profile) -> str:
    spread = f"p99 {number(profile.p99.value, 'ms')}, {number(profile.throughput, 'per second')}"
    middle = escape(number(profile.p50.value, "ms"))
    where = "" if profile.target == "here" else f", {profile.target}"
    return (
        f'<div class="tile"><h3>{escape(profile.file.name)}</h3><p class="now">{middle}</p>'
        f'<p class="was">p50; {escape(spread)}<br>{escape(_under(profile))}{escape(where)}</p></div>'
    )


def tone_of(row: FigureRow) -> str:
    """Return how a change is coloured: ``better``, ``worse``, or ``same`` where none shows or it is no evidence."""
    if (
        row.before is None
        or row.after is None
        or row.once
        or not re.search("[1-9]", change(row.before, row.after, row.unit))
    ):
        return "same"
    return "better" if (row.after < row.before) == (row.better == "lower") else "worse"


def _both(row: FigureRow | None) -> tuple[float, float] | None:
    if row is None or row.before is None or row.after is None:
        return None
    usable = math.isfinite(row.before) and math.isfinite(row.after) and row.before > 0
    return (row.before, row.after) if usable else None


def _less(report: Report) -> str | None:
    values = _both(find(report, "macs"))
    if values is None:
        return None
    share = 1 - values[1] / values[0]
    if abs(share) < 0.005:
        return "the same number of MACs"
    return f"{abs(share):.0%} {'fewer' if share > 0 else 'more'} MACs".replace("%", " %")


def _speed(report: Report) -> str | None:
    if report.comparison is not None:
        ratio = report.comparison.ratio
    else:
        values = _both(find(report, "latency p50"))
        if values is None or values[1] <= 0:
            return None
        ratio = values[1] / values[0]
    if 0.98 <= ratio <= 1.02:
        return "as fast as before"
    return f"{1 / ratio:.2f} times as fast" if ratio < 1 else f"{ratio:.2f} times as slow"


def _searched(report: Report) -> str | None:
    found = report.search
    if found is None or not found.trials:
        return None
    front = [trial for trial in found.trials if trial.not_dominated]
    made = sum(trial.final is not None for trial in found.trials)
    models = "no final model" if not made else "1 final model" if made == 1 else f"{made} final models"
    if not front or not found.dense:
        return f"{len(found.trials)} candidates were judged; {models}."
    low, high = (found_at.cost / found.dense for found_at in (front[0], front[-1]))
    return (
        f"{len(front)} of {len(found.trials)} candidates are not dominated, from {100 * low:.0f} to {100 * high:.0f} % "
        f"of the whole network's predicted {found.cost}; {models}."
    )


def _spaces(report: Report) -> str | None:
    if report.spaces is None or not report.spaces.regimes:
        return None
    parts = []
    for regime in report.spaces.regimes:
        best = min([*regime.initial_errors, *regime.refined_errors], default=math.nan)
        parts.append(f"{number(best, 'share')} at {number(regime.share, 'share')} of the MACs")
    return f"Lowest errors of recipes after a short training: {', '.join(parts)}."


def _explained(report: Report) -> str | None:
    why = report.why
    if why is None or report.profiles or min(why.base_ms, why.new_ms) <= 0:
        return None
    ratio = why.new_ms / why.base_ms
    speed = (
        f"{1 / ratio:.2f} times as fast"
        if ratio < 0.98
        else f"{ratio:.2f} times as slow"
        if ratio > 1.02
        else "as fast"
    )
    return f"{why.new.name} is {speed} as {why.base.name}: {number(why.base_ms, 'ms')} → {number(why.new_ms, 'ms')}."


def _matrix(report: Report) -> str | None:
    if report.matrix is None or not report.matrix.cells or report.profiles:
        return None
    outcomes = Counter(cell.outcome for cell in report.matrix.cells)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
    names = list(dict.fromkeys(cell.file for cell in report.matrix.cells))
    places = len({(cell.runtime, cell.device) for cell in report.matrix.cells})
    return f"{names[0] if len(names) == 1 else f'{len(names)} files'} in {places} runtimes and devices: {counts}."


def _profiled(report: Report) -> str:
    if not report.profiles:
        return "Nothing could be measured." if report.failures else "No figures before and after were given."
    found = groups(report.profiles)
    if len(found) > 1:
        files = list(dict.fromkeys(profile.file.name for profile in report.profiles))
        targets = {group.target for group in found}
        on = f" on {len(targets)} devices" if len(targets) > 1 else ""
        one = files[0] if len(files) == 1 else f"{len(files)} files"
        return f"{one} under {len(found)} sets of conditions{on}; {_fastest(found)}."
    best = min(report.profiles, key=lambda profile: profile.p50.value)
    takes = f"{best.file.name} takes {number(best.p50.value, 'ms')}"
    return f"{takes}." if len(report.profiles) == 1 else f"Of {len(report.profiles)} files, {takes}, the least."


def _fastest(found: list[Group]) -> str:
    """The most samples a second, whatever the conditions: throughput is what may be compared across batches."""
    best = max((profile for group in found for profile in group.profiles), key=lambda profile: profile.throughput)
    where = "" if best.target == "here" else f" on {best.target}"
    return f"at most {number(best.throughput, 'per second')} ({best.file.name}, {_under(best)}{where})"


def _under(profile: Profile) -> str:
    threads = "1 thread" if profile.conditions.threads == 1 else f"{profile.conditions.threads} threads"
    return f"{profile.conditions.runtime}, {threads}, batch {profile.conditions.batch}"


def _accuracy(report: Report) -> str:
    row = find(report, "accuracy")
    values = _both(row)
    if values is None or row is None:
        reason = (row.missing if row else None) or report.missing.get("accuracy", "not measured")
        return f"accuracy unknown ({reason.removeprefix('accuracy unknown: ')})"
    name = row.name.replace("-", "\N{NON-BREAKING HYPHEN}")
    return f"{name} {number(values[0], row.unit)} → {number(values[1], row.unit)}"
