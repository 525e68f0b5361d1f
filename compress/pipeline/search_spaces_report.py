"""The report of a search of pruning spaces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.pipeline.report import Screen, now, write

if TYPE_CHECKING:
    from compress.pipeline.search_spaces import SpacesRequest
    from compress.search.spaces.result import Regime, Result

PAGE, DOCUMENT = "report.html", "report.json"


def write_report(
    request: SpacesRequest, result: Result, plans: Mapping[float, Mapping[str, Path]], screen: Screen
) -> Path:
    """Write the page and the JSON document into the output folder; return the page."""
    from deploy.report import Report, Source
    from deploy.report.schema import Spaces

    name = request.checkpoint.name
    report = Report(
        title=f"Pruning spaces of {name}",
        created=now(),
        source=Source(file=name, kind=request.checkpoint.suffix.removeprefix(".")),
        spaces=Spaces(
            regimes=[_regime(regime, plans.get(regime.share, {}), result) for regime in result.regimes],
            dense_error=result.dense_error,
            settings=dict(result.settings),
        ),
        missing={
            "accuracy": "recipes are compared after a short training; compress prune --plan makes a network of one",
            "latency": "recipes are compared at equal MACs; compress profile measures what is made of them",
            "gate": "compress gate decides",
        },
    )
    paths = [request.folder / PAGE, request.folder / DOCUMENT]
    with screen.step("writing the report"):
        write(report, paths, overwrite=True)
    return paths[0]


def _regime(regime: Regime, plans: Mapping[str, Path], result: Result) -> Any:
    from deploy.report.schema import RatioBucket
    from deploy.report.schema import Regime as Record

    reading = next((one for one in regime.readings if one["reading"] == result.settings.get("reading")), None)
    single = reading is not None and len(reading["parts"]) == 1
    return Record(
        share=regime.share,
        initial_errors=regime.initial.errors.tolist(),
        initial_ratios=regime.ratios[0],
        refined_errors=regime.refined.errors.tolist() if regime.refined else [],
        refined_ratios=regime.ratios[1],
        buckets=[
            RatioBucket(**{name: bucket[name] for name in ("low", "high", "recipes", "mean_error", "best_error")})
            for bucket in (reading["parts"][0] if reading is not None and single else [])
        ],
        band=[reading["band"]["low"][0], reading["band"]["high"][0]] if reading is not None and single else [],
        held_out=_held_out(reading),
        refinement=_refinement(regime.refinement),
        why=regime.why,
        plans={name: f"plans/{path.name}" for name, path in plans.items()},
    )


def _held_out(reading: Mapping[str, Any] | None) -> str | None:
    if reading is None:
        return None
    found = reading["held_out"]
    if found is None:
        return "On the held-out half no recipe lies in the band that the other half chose."
    return (
        f"On the half of the recipes that it was not chosen by, errors in the band differ from all by {_points(found)}."
    )


def _refinement(found: Mapping[str, Any] | None) -> str | None:
    if found is None:
        return None
    first, second = found["best"]
    throughout = "It is better at every error." if found["dominates"] else "It is not better at every error."
    return (
        f"The refined population's mean error differs by {_points(found['difference'])}. {throughout} "
        f"The best of {found['of']}: {100 * second:.2f} % against {100 * first:.2f} % in the whole space."
    )


def _points(found: Mapping[str, Any]) -> str:
    low, high = 100 * found["low"], 100 * found["high"]
    return f"{100 * found['mean']:+.2f} points (bootstrap 95 %: {low:+.2f} to {high:+.2f})"
