"""One paragraph: how fast, how fast its MACs promised, and where the difference went."""

from __future__ import annotations

from deploy.comparing import change_text
from deploy.why.case import Case, total_macs
from deploy.why.records import Cause

_SAME = 0.01  # what two copies of one file may seem to differ by
_WORTH = 0.03  # of a run: what is less is not mentioned
_MOST = 3
_NAMED = 2


def write(case: Case) -> str:
    """Return the verdict."""
    comparison = case.comparison
    sentences = [_speed(case), *_promise(case), *_roofs(case)]
    if not comparison.warmup.stationary:
        sentences.append("Latencies were still drifting when the warm-up ended.")
    return " ".join(sentences)


def _speed(case: Case) -> str:
    found = case.comparison
    words = f"{change_text(found.ratio)} than".replace("fast than", "fast as").replace("slow than", "slow as")
    bounds = ", too few pairs for an interval"
    if found.ratio_low is not None and found.ratio_high is not None:
        bounds = f", 99 % interval of the ratio {found.ratio_low:.3f} to {found.ratio_high:.3f}"
        if found.ratio_low <= 1 <= found.ratio_high or abs(found.ratio - 1) < _SAME:
            words = "as fast, as far as can be told, as"
    return (
        f"{found.new.name} is {words} {found.base.name}: {_ms(found.new_p50)} against {_ms(found.base_p50)} "
        f"({found.conditions.describe()}{bounds})."
    )


def _promise(case: Case) -> list[str]:
    before, after = total_macs(case.base_parts), total_macs(case.new_parts)
    if not before or after is None:
        return ["Its MACs are not known: shapes of some values could not be inferred."]
    sparse = " (of sparse operators, those of the stored weights)" if any(p.work.sparse for p in case.new_parts) else ""
    promised = case.promised
    if abs(after / before - 1) < _SAME:
        text = f"It has as many MACs{sparse}."
    else:
        text = (
            f"It has {100 * after / before:.0f} % of the MACs{sparse}; had the time of every layer changed with its "
            f"MACs, it would take {_ms(promised)}."
        )
    lost = case.new_ms - promised
    if lost > _WORTH * case.new_ms:
        return [text, _causes(case, lost)]
    return [f"{text} It is as fast as that promises."]


def _causes(case: Case, lost: float) -> str:
    worth = [cause for cause in case.account.causes if cause.milliseconds * case.cause_scale > _WORTH * case.new_ms]
    if not worth:
        return f"The other {_ms(lost)} have no one cause: they are spread over all layers."
    return f"The other {_ms(lost)} are due to {'; '.join(_cause(cause, case.cause_scale) for cause in worth[:_MOST])}."


def _cause(cause: Cause, scale: float) -> str:
    named = ", ".join(cause.rows[:_NAMED])
    more = f" and {len(cause.rows) - _NAMED} more" if len(cause.rows) > _NAMED else ""
    return f"{cause.name} {_ms(cause.milliseconds * scale)} ({named}{more})"


def _roofs(case: Case) -> list[str]:
    """What bounds most of the new file's time."""
    shares: dict[str, float] = {}
    for part in case.new_parts:
        shares[part.side.bound] = shares.get(part.side.bound, 0.0) + part.side.milliseconds
    total = sum(shares.values())
    words = {
        "compute": "in layers bound by compute",
        "memory": "in layers bound by memory",
        "overhead": "in operators that cost more to call than to compute",
        "unknown": "in layers far from every limit of the machine",
    }
    if not total:
        return []
    ranked = sorted(shares.items(), key=lambda item: -item[1])
    said = [f"{100 * value / total:.0f} % {words[bound]}" for bound, value in ranked if value >= 0.05 * total]
    return [f"Of its operators' time, {', '.join(said)}."]


def _ms(value: float) -> str:
    return f"{value:.3f} ms" if value < 10 else f"{value:.1f} ms"
