"""One trial: the gate, and the other rules, on one pair of files."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from benchmarks.gate_trials import rules


def run(base: Path, new: Path, *, tolerance: float, budget: float, side: float, seed: int) -> dict[str, Any]:
    """Return the gate's decision and how long it took, and the slow-downs that the other rules see."""
    import psutil

    import deploy

    busy = psutil.cpu_percent(interval=0.1) / 100
    begun = time.perf_counter()
    verdict = deploy.gate(base, new, max_regression=tolerance, budget=budget, seed=seed)
    took = time.perf_counter() - begun
    gate = {
        "status": verdict.status,
        "seconds": round(verdict.seconds, 3),
        "with_loading": round(took, 3),
        "pairs": verdict.pairs,
        **{
            name: None if value is None else round(value, 6)
            for name, value in (
                ("slowdown", verdict.slowdown),
                ("low", verdict.low),
                ("high", verdict.high),
                ("resolution", verdict.resolution),
            )
        },
    }
    others = {"blocks": rules.blocks(base, new), "stored": rules.stored(base, new, side)}
    rounded = {rule: {name: round(value, 6) for name, value in seen.items()} for rule, seen in others.items()}
    return {"gate": gate, **rounded, "busy_before": round(busy, 3), "load_average": round(os.getloadavg()[0], 2)}
