"""The report of a search: its front, and the final models beside the whole network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.pipeline.points import as_measured
from compress.pipeline.report import Screen, now, write
from compress.pipeline.search_finals import DENSE_ONNX, PROFILES, Final, dense_accuracy
from compress.pipeline.search_request import FRONT, SearchRequest

if TYPE_CHECKING:
    from compress.search.front import Found, Front
    from deploy.records import Profile
    from deploy.report import Point, Report

PAGE, DOCUMENT = "report.html", "report.json"


def write_report(request: SearchRequest, front: Front, finals: Sequence[Final], screen: Screen) -> Path:
    """Write the page and the JSON document into the output folder; return the page."""
    report = _report(request, front, finals)
    paths = [request.folder / PAGE, request.folder / DOCUMENT]
    with screen.step("writing the report"):
        write(report, paths, overwrite=True)
    return paths[0]


def _report(request: SearchRequest, front: Front, finals: Sequence[Final]) -> Report:
    from deploy.report import Report, Source

    profiles = _profiles(request.folder) if finals else []
    checkpoint = str(front.settings.get("checkpoint", FRONT))
    reasons = {
        "comparison": "final models are measured interleaved with the whole network; compress gate compares in pairs",
        "gate": "compress gate decides",
        "layers": "every model has its own widths: they are in the cards and in front.json",
    }
    if not finals:
        reasons["points"] = "no final model was made: --pick latency=0.5 makes one"
        reasons["latency"] = "no final model was made"
    return Report(
        title=f"Search on {checkpoint}",
        created=now(),
        source=Source(file=checkpoint, kind=Path(checkpoint).suffix.removeprefix(".")),
        search=_search(front, finals),
        points=_points(front, finals, profiles, dense_accuracy(request.folder)),
        profiles=profiles,
        environment=profiles[0].environment if profiles else None,
        missing=reasons,  # type: ignore[arg-type]
    )


def _search(front: Front, finals: Sequence[Final]) -> Any:
    from deploy.report.schema import Search, Trial

    made = {final.number: final for final in finals}
    best = [
        Trial(
            number=point.number,
            loss=point.loss,
            cost=point.cost,
            not_dominated=True,
            final=made[point.number].deployed if point.number in made else None,
            measured=made[point.number].measured if point.number in made else None,
            configuration=_kept(point),
        )
        for point in front.points
    ]
    others = [Trial(number=number, loss=loss, cost=cost) for number, loss, cost in front.others]
    return Search(
        cost=front.cost,
        unit="ms" if front.unit == "ms" else "count",
        dense=front.dense,
        dense_loss=front.dense_loss,
        trials=[*best, *others],
        settings=dict(front.settings),
        throughput=dict(front.throughput),
    )


def _kept(point: Found) -> dict[str, Any]:
    shares = {name: round(share, 4) for name, share in point.candidate.densities.items() if share < 1}
    return {"channels": dict(point.candidate.widths), "share of weights": shares or "all"}


def _points(
    front: Front, finals: Sequence[Final], profiles: Sequence[Profile], accuracy_of_dense: float | None
) -> list[Point]:
    from deploy.report import Point

    known = {profile.file.name: profile for profile in profiles}
    points = []
    if DENSE_ONNX in known:
        points.append(_whole(known[DENSE_ONNX], front, accuracy_of_dense))
    for final in finals:
        profile = known.get(final.deployed)
        accuracy = final.accuracy.get("top1")
        measured = as_measured(profile) if profile else {"file": final.deployed}
        reasons = {} if profile else {"latency": final.why or "not measured"}
        if accuracy is None:
            reasons["accuracy"] = "no data was given"
        points.append(
            Point(
                **measured,
                name=final.network,
                accuracy=accuracy,
                metric="top1" if accuracy is not None else None,
                data=front.settings.get("data") if accuracy is not None else None,
                macs=final.macs,
                configuration={
                    "trial": final.number,
                    f"predicted {front.cost}": f"{final.predicted:.5g} {final.unit}",
                    "MACs with zeros removed": final.nonzero_macs,
                    "training began with": final.begun,
                },
                missing=reasons,
            )
        )
    return points


def _whole(profile: Profile, front: Front, accuracy: float | None) -> Point:
    from deploy.report import Point

    missing = {"macs": "compress inspect counts them"}
    if accuracy is None:
        missing["accuracy"] = "no data was given"
    return Point(
        **as_measured(profile),
        name="whole network",
        role="baseline",
        accuracy=accuracy,
        metric="top1" if accuracy is not None else None,
        data=front.settings.get("data") if accuracy is not None else None,
        missing=missing,
    )


def _profiles(folder: Path) -> list[Profile]:
    from deploy.records import Profile

    return [Profile.model_validate(one) for one in json.loads((folder / PROFILES).read_text(encoding="utf-8"))]
