"""One verdict over all metrics of a policy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

from deploy.asking import AnyPath, ask, conditions
from deploy.environment import Environment
from deploy.judging import findings, macs, memory
from deploy.judging.findings import Outcomes
from deploy.judging.policy import Policy
from deploy.modelfile import inspect
from deploy.records import (
    Control,
    Finding,
    Look,
    Methodology,
    ModelFile,
    Verdict,
    WarmUp,
    exit_code,
)
from deploy.sessions import INPUTS_TEXT
from deploy.timing import Progress, silent
from deploy.wording import paragraph

_CONTEST = "deploy.duet.task:contest"
_SHARE = 0.8  # of the progress, that latency takes
_WORST_FIRST = ("fail", "unresolvable", "inconclusive", "unmeasured", "pass")


def judge(
    base: AnyPath,
    new: AnyPath,
    policy: Policy,
    *,
    outcomes: tuple[Outcomes, Outcomes] | None = None,
    progress: Progress = silent,
) -> Verdict:
    """Decide whether ``new`` may replace ``base`` under ``policy``.

    Latency and its tails are decided sequentially within the policy's budget (:mod:`deploy.duet.contest`), accuracy
    by exact bounds; these share the chance of a false alarm, ``policy.alpha``, equally. Memory is measured in turns;
    size and multiply-accumulates are counted. One failure fails; to pass, all must.

    Args:
        outcomes: for every sample of the same data in the same order, whether ``base`` and ``new`` are right.

    Raises:
        InputError: a file is missing, damaged, crashes or does not run, or inputs differ.
        UnavailableError: the runtime is not available on this machine.
    """
    files = (inspect(base), inspect(new))
    return _Judge((base, new), files, policy, outcomes, progress).verdict()


class _Judge:
    def __init__(
        self,
        paths: tuple[AnyPath, AnyPath],
        files: tuple[ModelFile, ModelFile],
        policy: Policy,
        outcomes: tuple[Outcomes, Outcomes] | None,
        progress: Progress,
    ) -> None:
        self._paths = paths
        self._files = files
        self._policy = policy
        self._outcomes = outcomes
        self._progress = progress
        self._arguments = {
            "runtime": policy.runtime,
            "threads": policy.threads,
            "batch": policy.batch,
            "sizes": dict(policy.sizes),
            "seed": policy.seed,
        }

    def verdict(self) -> Verdict:
        found = self._contest()
        decided = [findings.latency(track, found, self._policy) for track in found["tracks"]]
        decided += self._others(found["inputs"])
        return _verdict(found, decided, self._files, self._policy)

    def _contest(self) -> Mapping[str, Any]:
        asked = {
            **self._arguments,
            "tolerances": self._policy.paced(),
            "budget": self._policy.budget,
            "alpha": self._policy.alpha,
            "fail_alpha": self._policy.fail_alpha,
        }

        def tick(share: float, text: str) -> None:
            self._progress(share * _SHARE, text)

        found: Mapping[str, Any] = ask(_CONTEST, self._paths, asked, timeout=self._policy.timeout, tick=tick)
        return found

    def _others(self, inputs: Mapping[str, str]) -> Iterator[Finding]:
        policy, (base, new) = self._policy, self._files
        if policy.memory is not None:
            yield self._memory(policy.memory)
        if policy.size is not None:
            yield findings.counted("size", "bytes", base.size, new.size, policy.size)
        if policy.macs is not None:
            counts = [macs.count(path, inputs) for path in self._paths]
            if counts[0] is None or counts[1] is None:
                why = "the sizes of some layer cannot be told from the file"
                yield findings.unmeasured("macs", "count", policy.macs, why)
            else:
                yield findings.counted("macs", "count", counts[0], counts[1], policy.macs)
        if policy.accuracy is not None:
            if self._outcomes is None:
                yield findings.unmeasured("accuracy", "share", policy.accuracy, "no data was given")
            else:
                yield findings.accuracy(*self._outcomes, policy.accuracy, policy)

    def _memory(self, tolerance: float) -> Finding:
        turns = memory.peaks(
            self._paths,
            self._arguments,
            timeout=self._policy.timeout,
            progress=lambda share, text: self._progress(_SHARE + (1 - _SHARE) * share, text),
        )
        if turns is None:
            return findings.unmeasured("memory", "bytes", tolerance, "this system does not tell")
        return findings.memory(turns, tolerance)


def _verdict(
    found: Mapping[str, Any], decided: list[Finding], files: tuple[ModelFile, ModelFile], policy: Policy
) -> Verdict:
    latency, first = decided[0], found["tracks"][0]
    worst = next(status for status in _WORST_FIRST if any(finding.status == status for finding in decided))
    status: Any = "inconclusive" if worst == "unmeasured" else worst
    noise = first["noise"]
    verdict = Verdict(
        status=status,
        exit_code=exit_code(status),
        text="",
        base=files[0],
        new=files[1],
        tolerance=latency.tolerance,
        alpha=policy.alpha,
        slowdown=latency.change,
        low=latency.low,
        high=latency.high,
        resolution=latency.resolution,
        control=Control(
            value=math.expm1(median(noise)) if noise else None,
            low=math.expm1(min(noise)) if noise else None,
            high=math.expm1(max(noise)) if noise else None,
            pairs=len(noise) * found["pairs_per_block"],
            offsets=[math.expm1(value) for value in noise],
        ),
        pairs=len(first["values"]) * found["pairs_per_block"],
        blocks=len(first["values"]),
        looks=[Look.model_validate(look) for look in first["looks"]],
        findings=decided,
        seconds=found["seconds"],
        budget=policy.budget,
        base_p50=latency.base,
        new_p50=latency.new,
        conditions=conditions(found, files, policy.batch),
        methodology=_methodology(found["pairs_per_block"], policy),
        environment=Environment.model_validate(found["environment"]),
        warmup=WarmUp.model_validate(found["warmup"]),
    )
    return verdict.model_copy(update={"text": paragraph(verdict)})


def _methodology(pairs: int, policy: Policy) -> Methodology:
    several = f" (each of {policy.statistical} metrics at {policy.fail_alpha:g})" if policy.statistical > 1 else ""
    return Methodology(
        order=(
            f"blocks of {pairs} pairs of one run each, both files loaded afresh in one process for every block, random "
            "order of loading and within every pair"
        ),
        inputs=INPUTS_TEXT,
        warmup="until the last half of the runs shows no trend (Mann-Kendall, 5 %), for at most 15 % of the budget",
        intervals=(
            "log-ratio of each block (latency: mean logarithm of the fastest quarter of each file's runs), bets on its "
            "sign with bounded stakes; bounds hold at all times together, wrong with probability at most "
            f"{policy.alpha:g} for FAIL{several} and for PASS each"
        ),
        seed=policy.seed,
    )
