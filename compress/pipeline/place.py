"""Where latency counts: a runtime at a number of threads, on a device; and how two files do there, side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compress.errors import CompressError, InputError, UnavailableError

if TYPE_CHECKING:
    from deploy.devices.base import Device
    from deploy.records import Failure, Profile

HERE = "here"
RESOLUTION = 0.03
"""Of a ratio: a wider interval is measured on."""
ATTEMPTS = 3
_CONFIDENCE = 0.99


@dataclass(frozen=True)
class Place:
    """A runtime as in ``compress doctor``, threads within an operator, and a device as in ``compress profile``."""

    runtime: str
    threads: int = 1
    device: str = HERE
    devices_file: Path | None = None

    def __str__(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{self.runtime}, {threads}" + ("" if self.device == HERE else f", {self.device}")

    def open(self) -> Device:
        """The device. Raises :class:`InputError` where no device is called so."""
        from deploy.devices import inventory

        (target,) = inventory.targets([self.device], self.devices_file)
        return target.device

    def check(self) -> None:
        """Fail before work starts where the runtime cannot be used there.

        Raises:
            UnavailableError: it is not installed, or the device cannot be reached.
            InputError: no runtime, or no device, is called so.
        """
        known = self.open().describe().runtimes
        if self.runtime not in known:
            raise InputError(f"no runtime is called {self.runtime!r}", hint=f"known are {', '.join(known)}")
        reason = known[self.runtime]
        if reason is not None:
            where = "" if self.device == HERE else f" on {self.device}"
            raise UnavailableError(f"{self.runtime} cannot be used{where}: {reason}", hint="see compress doctor")

    def profiles(
        self, files: list[Path], seconds: float, tick: Callable[[float, str], None], seed: int = 0
    ) -> list[Profile]:
        """Measure ``files`` there, interleaved, for ``seconds`` each; profiles in their order.

        Raises:
            CompressError: one could not be measured.
        """
        import deploy

        measured = deploy.measure(
            files,
            runtimes=[self.runtime],
            threads=[self.threads],
            seconds=seconds,
            seed=seed,
            device=self.open(),
            keep_going=False,
            progress=tick,
        )
        if measured.failures:
            raise failed(measured.failures[0])
        return measured.profiles


@dataclass(frozen=True)
class Paired:
    """How long ``new`` took over ``base``: the median of paired ratios with its interval, and medians in milliseconds.

    A bound is None where the pairs were too few for one.
    """

    ratio: float
    low: float | None
    high: float | None
    pairs: int
    base: float
    new: float
    version: str
    processor: str
    confidence: float = _CONFIDENCE

    def resolves(self, share: float) -> bool:
        """Whether the interval reaches no further than ``share`` of the ratio to either side."""
        if self.low is None or self.high is None:
            return False
        return max(self.high - self.ratio, self.ratio - self.low) <= share * self.ratio


def paired(
    base: Path, new: Path, place: Place, seconds: float, tick: Callable[[float, str], None], seed: int = 0
) -> Paired:
    """Measure two ONNX files in pairs, in random order within each, in a process of their own.

    Where the interval is wider than :data:`RESOLUTION`, it is done again, with other inputs and in another process, up
    to :data:`ATTEMPTS` times, and all pairs count together.

    Raises:
        CompressError: a file could not be measured.
    """
    from deploy.statistics import median_interval

    once, logs = _here if place.device == HERE else _elsewhere, list[float]()
    for attempt in range(ATTEMPTS):
        ratios, base_ms, new_ms, version, processor = once(base, new, place, seconds, tick, seed + 101 * attempt)
        logs += map(math.log, ratios)
        middle = median_interval(logs, (1 - _CONFIDENCE) / 2)
        low, high = (None if bound is None else math.exp(bound) for bound in (middle.low, middle.high))
        found = Paired(math.exp(middle.value), low, high, len(logs), base_ms, new_ms, version, processor)
        if found.resolves(RESOLUTION):
            break
    return found


_Told = tuple[Sequence[float], float, float, str, str]  # ratios, milliseconds of both, version, processor


def _here(base: Path, new: Path, place: Place, seconds: float, tick: Callable[[float, str], None], seed: int) -> _Told:
    import deploy

    found = deploy.compare(
        base, new, runtime=place.runtime, threads=place.threads, seconds=seconds, seed=seed, progress=tick
    )
    told = found.conditions.version, found.environment.processor
    return found.ratios, found.base_p50, found.new_p50, *told


def _elsewhere(
    base: Path, new: Path, place: Place, seconds: float, tick: Callable[[float, str], None], seed: int
) -> _Told:
    one, other = place.profiles([base, new], seconds / 2, tick, seed)
    ratios = [second / first for first, second in zip(one.samples, other.samples, strict=True)]
    return ratios, one.p50.value, other.p50.value, one.conditions.version, one.environment.processor


def failed(failure: Failure) -> CompressError:
    """The error that a failure to measure is, where nothing goes on without the figure."""
    kind = UnavailableError if failure.kind in ("unavailable", "disconnected") else InputError
    return kind(f"{failure.file} in {failure.runtime}: {failure.reason}", hint=failure.hint)
