"""A report in which every section has content, around measured profiles and hostile names."""

from __future__ import annotations

from deploy import report
from deploy.compatibility.records import Cell, Matrix
from deploy.records import Failure, Finding, OperatorTime, Profile, Quantile, SensorSample
from deploy.why.records import Advice, Cause, Explanation, Peak, Row, Side
from tests.deploy.conftest import HOSTILE

ACCURACIES = (0.95, 0.94, 0.90, 0.96)
LATENCIES = (4.0, 2.0, 3.0, 6.0)


def whole(measured: report.Report, *, hostile: str = HOSTILE) -> report.Report:
    """Return ``measured`` with several devices, sweeps, points, failures, a matrix and an explanation.

    Of the points, the first is the baseline; the third is dominated in latency and size; the others are not.
    """
    first, second = measured.profiles[:2]
    operators = [
        OperatorTime(name=f"op{index} {hostile}", kind="Conv", milliseconds=0.01 * index, layers=[f"layer{index}"])
        for index in range(40)
    ]
    sensors = [SensorSample(seconds=index, clock=2000 + index, temperature=50, throttled=0) for index in range(3)]
    here = [first.model_copy(update={"operators": operators, "sensors": sensors}), second]
    swept = [_under(profile, batch=4) for profile in here] + [_under(profile, threads=2) for profile in here]
    far = [profile.model_copy(update={"target": f"pi {hostile}"}) for profile in here]
    assert measured.gate is not None
    return measured.model_copy(
        update={
            "gate": measured.gate.model_copy(update={"findings": findings(hostile)}),
            "profiles": [*here, *swept, *far],
            "points": points(first, hostile),
            "failures": [
                Failure(file=hostile, runtime="r", threads=1, batch=1, kind="crashed", reason=hostile, hint=hostile)
            ],
            "matrix": matrix(hostile),
            "why": why(first, second, hostile),
        }
    )


def points(profile: Profile, hostile: str) -> list[report.Point]:
    """Four configurations on one device, and one of another device."""
    made = [
        report.Point(
            name=f"net{index}.onnx",
            file=f"net{index}.onnx",
            role="candidate" if index else "baseline",
            accuracy=accuracy,
            metric="top1",
            data="digits",
            latency=Quantile(value=latency, low=latency - 0.1, high=latency + 0.1),
            conditions=profile.conditions,
            size=int(latency * 1e6),
            macs=1000 * index,
            configuration={"criterion": f"criterion-{index}", hostile: hostile, "pruned": {"ratio": 0.1 * index}},
        )
        for index, (accuracy, latency) in enumerate(zip(ACCURACIES, LATENCIES, strict=True))
    ]
    return [*made, made[0].model_copy(update={"target": f"pi {hostile}"})]


def findings(hostile: str) -> list[Finding]:
    """What was decided of latency, and of a metric that could not be measured."""
    return [
        Finding(
            metric="latency", status="pass", tolerance=0.05, text="ok", unit="ms", change=-0.2, low=-0.3, high=-0.1
        ),
        Finding(metric=hostile, status="unmeasured", tolerance=0.0, text=hostile, unit="bytes"),
    ]


def matrix(hostile: str) -> Matrix:
    """Every outcome there is, a hostile one, and a cell that was not recorded."""
    outcomes = ("runs", "runs in part", "compiles", "refused", "crashed", "hung", "not tested here")
    cells = [
        Cell(file="a.onnx", runtime=f"runtime {index}", device="cpu", outcome=outcome)  # type: ignore[arg-type]
        for index, outcome in enumerate(outcomes)
    ]
    odd = Cell(
        file=hostile,
        runtime=hostile,
        device=hostile,
        outcome="refused",
        reason=hostile,
        unsupported=[hostile],
        fallbacks={hostile: [hostile]},
        needs=hostile,
    )
    return Matrix(cells=[*cells, odd])


def why(base: Profile, new: Profile, hostile: str) -> Explanation:
    """Layers of either file and of both."""
    sides = [Side(milliseconds=0.1 * index, kinds=[hostile], macs=1000 * index, width=8) for index in range(1, 4)]
    rows = [
        Row(name=f"conv1 {hostile}", base=sides[2], new=sides[0], remarks=[hostile]),
        Row(name="gone", base=sides[1]),
        Row(name="added", new=sides[1]),
    ]
    return Explanation(
        base=base.file,
        new=new.file,
        conditions=base.conditions,
        peak=Peak(macs=1e10, bytes=1e10, overhead=0.001, threads=1, how=hostile),
        base_ms=1,
        new_ms=0.5,
        verdict=f"It is faster. {hostile}",
        rows=rows,
        extras={hostile: [hostile], "b.onnx": []},
        advice=[
            Advice(change=f"Do this {hostile}", because=hostile, saves=0.1, how=hostile),
            Advice(change="Or this", because="it is so", saves=0.25, measured=0.25, low=0.2, high=0.3),
        ],
        causes=[Cause(name=hostile, milliseconds=-0.1, rows=[hostile] * 9)],
        considered=[hostile],
    )


def _under(profile: Profile, **conditions: int) -> Profile:
    return profile.model_copy(update={"conditions": profile.conditions.model_copy(update=conditions)})
