"""Profiles made of the figures that a device told."""

from __future__ import annotations

from deploy.environment import Environment
from deploy.records import (
    Conditions,
    Methodology,
    ModelFile,
    OperatorTime,
    Profile,
    Quantile,
    SensorSample,
    WarmUp,
)
from deploy.runner.protocol import Figures
from deploy.sessions import INPUTS_TEXT, thinned
from deploy.statistics import quantile_interval


def to_profile(figures: Figures, file: ModelFile, *, seed: int, target: str) -> Profile:
    """Return the profile of ``file`` on the device called ``target``."""
    milliseconds = list(figures.milliseconds)
    mean = sum(milliseconds) / len(milliseconds)
    return Profile(
        file=file,
        conditions=_conditions(figures, file),
        methodology=_methodology(figures.together, seed),
        environment=Environment.model_validate(figures.environment),
        warmup=WarmUp(runs=figures.warmup_runs, seconds=figures.warmup_seconds, stationary=figures.stationary),
        runs=len(milliseconds),
        p50=_quantile(milliseconds, 0.50),
        p90=_quantile(milliseconds, 0.90),
        p95=_quantile(milliseconds, 0.95),
        p99=_quantile(milliseconds, 0.99),
        mean=mean,
        throughput=figures.conditions.batch * 1e3 / mean,
        load_time=figures.load_time,
        first_inference=figures.first_inference,
        peak_memory=figures.peak_memory,
        idle_memory=figures.idle_memory,
        samples=thinned(milliseconds),
        target=target,
        operators=[OperatorTime.model_validate(operator) for operator in figures.operators],
        no_operators=figures.no_operators,
        sensors=[SensorSample.model_validate(sample) for sample in figures.sensors],
        no_sensors=figures.no_sensors,
    )


def _conditions(figures: Figures, file: ModelFile) -> Conditions:
    said = figures.description
    return Conditions(
        runtime=said["runtime"],
        version=said["version"],
        provider=said["provider"],
        precision=file.precision,
        threads=said["threads"],
        batch=figures.conditions.batch,
        device=figures.device,
        inputs=dict(figures.inputs),
        settings=dict(said["settings"]),
    )


def _methodology(together: int, seed: int) -> Methodology:
    several = f"{together} files interleaved, a new random order in every round"
    return Methodology(
        order="one file, repeated" if together == 1 else several,
        inputs=INPUTS_TEXT,
        warmup="until the last half of the runs shows no trend (Mann-Kendall, 5 %), for at most the measuring time",
        intervals=(
            "order statistics, 95 %, no distribution assumed, runs taken as independent: of this load of the file, "
            "another one may lie elsewhere (compress gate loads anew, many times)"
        ),
        seed=seed,
    )


def _quantile(milliseconds: list[float], q: float) -> Quantile:
    interval = quantile_interval(milliseconds, q)
    return Quantile(value=interval.value, low=interval.low, high=interval.high)
