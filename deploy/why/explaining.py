"""Explain two files: measure them in pairs, take both apart, hold each operator to the machine, and advise."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from compress.errors import InputError
from deploy.comparing import compare
from deploy.runtimes.base import OperatorTiming
from deploy.sessions import Bench, Request, check_positive, check_same_inputs, open_bench
from deploy.timing import Progress, silent
from deploy.why import causes, findings, graph, operators, parts, peak, rows, verdict
from deploy.why.advice import advise
from deploy.why.case import Case, total_macs
from deploy.why.records import Explanation, Peak

_PAIRED, _TAKEN_APART, _ROOFS, _ADVICE = 0.25, 0.25, 0.2, 0.3  # shares of the time


def explain(
    base: str | os.PathLike[str],
    new: str | os.PathLike[str],
    *,
    runtime: str = "onnxruntime-cpu",
    threads: int = 1,
    batch: int = 1,
    sizes: Mapping[str, int] | None = None,
    seconds: float = 20.0,
    seed: int = 0,
    timeout: float = 120.0,
    progress: Progress = silent,
) -> Explanation:
    """Return why ``new`` is as fast as it is against ``base``, in this process. ``seconds`` is the time aimed at.

    ``timeout`` is for the paired runs, which are in a process of their own.

    Raises:
        InputError: a file is no ONNX file, is damaged or does not run, or the files' inputs differ.
        UnavailableError: the runtime is not available, or does not tell the times of operators.
    """
    check_positive(seconds=seconds)
    request = Request(runtime, threads, batch, sizes, seed)
    case = gather(base, new, request, seconds, timeout=timeout, progress=progress)
    comparison = case.comparison
    given, weighed = advise(case, seconds=_ADVICE * seconds, progress=_part(progress, 1 - _ADVICE, 1.0))
    pairs = sorted(case.found, key=lambda found: -found[0].milliseconds)
    return Explanation(
        base=comparison.base,
        new=comparison.new,
        conditions=comparison.conditions,
        peak=case.peak,
        base_ms=comparison.base_p50,
        new_ms=comparison.new_p50,
        verdict=verdict.write(case),
        rows=[pair.row([finding.text for finding in found]) for pair, found in pairs],
        extras=_extras(case),
        advice=given,
        considered=weighed,
        ratio=comparison.ratio,
        ratio_low=comparison.ratio_low,
        ratio_high=comparison.ratio_high,
        base_macs=total_macs(case.base_parts),
        new_macs=total_macs(case.new_parts),
        causes=case.account.causes,
    )


def gather(
    base: str | os.PathLike[str],
    new: str | os.PathLike[str],
    request: Request,
    seconds: float,
    *,
    timeout: float,
    progress: Progress,
) -> Case:
    """Measure everything that an explanation is drawn from. Raises as :func:`explain`."""
    request.check()
    for path in (base, new):
        if Path(path).suffix in (".engine", ".plan"):
            raise InputError(
                "is a compiled engine: it does not tell what its layers compute",
                where=str(path),
                hint="give the ONNX files that the engines were made from",
            )
    benches = open_bench(base, request), open_bench(new, request)
    check_same_inputs(*benches)
    graphs = _read(base, benches[0]), _read(new, benches[1])
    comparison = compare(
        base,
        new,
        runtime=request.runtime,
        threads=request.threads,
        batch=request.batch,
        sizes=request.sizes,
        seconds=_PAIRED * seconds,
        seed=request.seed,
        timeout=timeout,
        progress=_part(progress, 0.0, _PAIRED),
    )
    begun = _PAIRED
    roofs = peak.measure(
        request.check(),
        threads=request.threads,
        seconds=_ROOFS * seconds,
        progress=_part(progress, begun, begun + _ROOFS),
    )
    begun += _ROOFS
    times = operators.interleaved(
        benches,
        seconds=_TAKEN_APART * seconds,
        seed=request.seed,
        progress=_part(progress, begun, begun + _TAKEN_APART),
    )
    found = _match(times[0], times[1], graphs, roofs)
    return Case(
        paths=(Path(base), Path(new)),
        benches=benches,
        graphs=graphs,
        request=request,
        peak=roofs,
        comparison=comparison,
        found=found,
        account=causes.settle(found, roofs),
    )


def _match(
    base: list[OperatorTiming], new: list[OperatorTiming], graphs: tuple[graph.Graph, graph.Graph], roofs: Peak
) -> list[tuple[rows.Match, list[findings.Finding]]]:
    pairs = rows.match(parts.split(base, graphs[0], roofs), parts.split(new, graphs[1], roofs))
    return [(pair, findings.find(pair, roofs)) for pair in pairs]


def _read(path: str | os.PathLike[str], bench: Bench) -> graph.Graph:
    return graph.read(path, {name: array.shape for name, array in bench.feeds.items()})


def _extras(case: Case) -> dict[str, list[str]]:
    """What copies or converts and computes nothing, by file, longest first."""
    extras = {}
    for index, each in enumerate((case.base_parts, case.new_parts)):
        copies = sorted((part for part in each if part.is_copy), key=lambda part: -part.side.milliseconds)
        extras[case.benches[index].file.name] = [f"{part.name}: {part.side.milliseconds:.3f} ms" for part in copies]
    return extras


def _part(progress: Progress, begin: float, end: float) -> Callable[[float, str], None]:
    """``progress`` for a part of the work that goes from ``begin`` to ``end`` of the whole."""
    return lambda share, text: progress(begin + (end - begin) * min(share, 1.0), text)
