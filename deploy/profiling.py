"""Profile deployment files: latency, throughput, memory, load time, size; several files interleaved."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import overload

from deploy import environment
from deploy.environment import Environment
from deploy.modelfile import inspect
from deploy.probing import Probe, probe
from deploy.records import Methodology, Profile, Quantile, WarmUp
from deploy.sessions import INPUTS_TEXT, Bench, Request, check_positive, open_bench, thinned
from deploy.statistics import quantile_interval
from deploy.timing import Progress, Warmth, interleaved, silent, warm_up

_PROBE_SHARE = 0.2
_FEWEST_ROUNDS = 5
_MOST_ROUNDS = 20_000

AnyPath = str | os.PathLike[str]


@overload
def profile(  # type: ignore[overload-overlap]  # a str is a sequence of str, and is meant as one path
    paths: AnyPath,
    *,
    runtime: str = ...,
    threads: int = ...,
    batch: int = ...,
    sizes: Mapping[str, int] | None = ...,
    seconds: float = ...,
    seed: int = ...,
    progress: Progress = ...,
) -> Profile: ...
@overload
def profile(
    paths: Sequence[AnyPath],
    *,
    runtime: str = ...,
    threads: int = ...,
    batch: int = ...,
    sizes: Mapping[str, int] | None = ...,
    seconds: float = ...,
    seed: int = ...,
    progress: Progress = ...,
) -> list[Profile]: ...


def profile(
    paths: AnyPath | Sequence[AnyPath],
    *,
    runtime: str = "onnxruntime-cpu",
    threads: int = 1,
    batch: int = 1,
    sizes: Mapping[str, int] | None = None,
    seconds: float = 3.0,
    seed: int = 0,
    progress: Progress = silent,
) -> Profile | list[Profile]:
    """Measure one file, or several interleaved in random order so that the machine's moods hit all alike.

    Args:
        runtime: a name from :func:`deploy.runtimes.names`.
        threads: threads within an operator.
        batch: size of the dynamic first dimension of every input.
        sizes: sizes of other dynamic dimensions, by name or ``"input:axis"``.
        seconds: measuring time per file, after a warm-up that takes at most as long again.
        seed: draws inputs and the order of measurement.
        progress: called with the share done (0 to 1) and what is being done.

    Returns:
        A profile for a single path, a list in the order given for a list of paths. Times in milliseconds.

    Raises:
        InputError: a file is missing, damaged, crashes or does not run; a size is missing; an argument is wrong.
        UnavailableError: the runtime is not available on this machine.
    """
    files = [Path(paths)] if isinstance(paths, str | os.PathLike) else [Path(path) for path in paths]
    request = Request(runtime, threads, batch, sizes, seed)
    request.check()
    check_positive(seconds=seconds)
    inspected = [inspect(path) for path in files]
    probes: list[Probe] = []
    for index, path in enumerate(files):
        progress(_PROBE_SHARE * index / len(files), f"loading {path.name} in a fresh process")
        probes.append(probe(path, runtime=runtime, threads=threads, batch=batch, sizes=sizes, seed=seed))
    benches = [open_bench(path, request, file) for path, file in zip(files, inspected, strict=True)]
    profiles = _measure(benches, probes, seconds, seed, progress)
    return profiles[0] if isinstance(paths, str | os.PathLike) else profiles


def _measure(
    benches: Sequence[Bench], probes: Sequence[Probe], seconds: float, seed: int, progress: Progress
) -> list[Profile]:
    calls = [bench.call for bench in benches]
    if not calls:
        return []
    around = environment.capture()
    progress(_PROBE_SHARE, "warming up")
    warmth = warm_up(calls, limit=seconds * len(calls), seed=seed)
    latencies = interleaved(
        calls,
        seconds=seconds * len(calls),
        fewest=_FEWEST_ROUNDS,
        most=_MOST_ROUNDS,
        seed=seed,
        progress=lambda share, what: progress(_PROBE_SHARE + (1 - _PROBE_SHARE) * share, what),
    )
    progress(1.0, "measured")
    methodology = _methodology(len(calls), seed)
    return [
        _profile(bench, measured, series, methodology, around, warmth)
        for bench, measured, series in zip(benches, probes, latencies, strict=True)
    ]


def _methodology(files: int, seed: int) -> Methodology:
    alone = "one file, repeated"
    together = f"{files} files interleaved, a new random order in every round"
    return Methodology(
        order=alone if files == 1 else together,
        inputs=INPUTS_TEXT,
        warmup="until the last half of the runs shows no trend (Mann-Kendall, 5 %), for at most the measuring time",
        intervals="order statistics, 95 %, no distribution assumed, runs taken as independent",
        seed=seed,
    )


def _profile(
    bench: Bench, measured: Probe, series: list[float], methodology: Methodology, around: Environment, warmth: Warmth
) -> Profile:
    milliseconds = [value * 1e3 for value in series]
    mean = sum(milliseconds) / len(milliseconds)
    return Profile(
        file=bench.file,
        conditions=bench.conditions,
        methodology=methodology,
        environment=around,
        warmup=WarmUp(runs=warmth.runs, seconds=warmth.seconds, stationary=warmth.stationary),
        runs=len(milliseconds),
        p50=_quantile(milliseconds, 0.50),
        p90=_quantile(milliseconds, 0.90),
        p99=_quantile(milliseconds, 0.99),
        mean=mean,
        throughput=bench.conditions.batch * 1e3 / mean,
        load_time=measured.load_time,
        first_inference=measured.first_inference,
        peak_memory=measured.peak_memory,
        idle_memory=measured.idle_memory,
        samples=thinned(milliseconds),
    )


def _quantile(milliseconds: list[float], q: float) -> Quantile:
    interval = quantile_interval(milliseconds, q)
    return Quantile(value=interval.value, low=interval.low, high=interval.high)
