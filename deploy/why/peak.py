"""What the machine reaches in the runtime, with the threads that are measured: the roofs that operators are held to.

The roofline model (Williams, Waterman, Patterson 2009) with a third roof, the cost of an operator that does nothing:
an operator takes at least as long as its multiply-adds, its bytes, or the call of it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from deploy.runtimes.base import Array, Runtime, Session
from deploy.timing import Progress, silent, time_once
from deploy.why import layout, tiny
from deploy.why.records import Peak, Rate

if TYPE_CHECKING:
    import onnx

_CONVOLUTIONS = ((64, 56, 3), (128, 28, 3), (512, 14, 1), (256, 28, 1))  # channels, picture, kernel
_PRODUCT = 512
_TENSORS = (12, 14, 16, 18, 20, 22, 24)  # powers of two: elements of four bytes
_READ_ONLY = 4096
_CHAIN = 64
_HOW = (
    "best of repeated runs of files made for it, in the same runtime with the same threads: convolutions of 64 to 512 "
    "channels and a product of 512 by 512 by 512; chains of Relu over tensors of 16 kB to 64 MB and a product of a "
    f"vector with 64 MB of weights; chains of {_CHAIN} operators with next to nothing to do"
)


def measure(runtime: Runtime, *, threads: int, seconds: float = 3.0, progress: Progress = silent) -> Peak:
    """Measure the roofs within about ``seconds``.

    Raises:
        InputError: the runtime does not run one of the files made for it.
    """
    step = seconds / (len(_CONVOLUTIONS) + len(_TENSORS) + 6)
    with tempfile.TemporaryDirectory() as folder:
        rig = _Rig(runtime, threads, Path(folder) / "tiny.onnx", step)
        progress(0.0, "measuring what the machine reaches")
        rate = max(*(rig.convolution(*sizes) for sizes in _CONVOLUTIONS), rig.product())
        progress(0.4, "measuring what the machine reaches")
        rates = [rig.relu(2**power) for power in _TENSORS]
        rates[-1] = max(rates[-1], rig.reading(), key=lambda found: found.rate)
        progress(0.8, "measuring what the machine reaches")
        overheads, overhead = rig.overheads(), rig.overhead()
        call = rig.best(tiny.chain("Relu", 1, (1, 4))) * 1e3
    block, alignment = layout.blocks(runtime.name)
    return Peak(
        macs=rate,
        bytes=rates[-1].rate,
        overhead=overhead,
        threads=threads,
        how=_HOW,
        rates=rates,
        overheads=overheads,
        call=call,
        block=block,
        alignment=alignment,
    )


def rate_of(size: float, peak: Peak) -> float:
    """Return the bytes a second that operators moving ``size`` bytes reach, interpolated between those measured."""
    rates = peak.rates
    if not rates:
        return peak.bytes
    place = np.interp(np.log(max(size, 1.0)), [np.log(found.bytes) for found in rates], [r.rate for r in rates])
    return float(place)


class _Rig:
    """Runs files made for the purpose."""

    def __init__(self, runtime: Runtime, threads: int, path: Path, seconds: float) -> None:
        self._runtime, self._threads, self._path, self._seconds = runtime, threads, path, seconds

    def best(self, model: onnx.ModelProto) -> float:
        """Seconds of the fastest run."""
        session = self._runtime.load(tiny.save(model, self._path), threads=self._threads)
        feeds = _feeds(session)
        session.run(feeds)
        fastest, runs, begun = float("inf"), 0, time.perf_counter()
        while runs < 5 or time.perf_counter() - begun < self._seconds:
            fastest = min(fastest, time_once(lambda: session.run(feeds)))
            runs += 1
        return fastest

    def convolution(self, channels: int, picture: int, kernel: int) -> float:
        """Multiply-adds a second."""
        count = channels * channels * picture * picture * kernel * kernel
        return count / self.best(tiny.convolutions((channels, channels), picture, kernel))

    def product(self) -> float:
        """Multiply-adds a second."""
        return _PRODUCT**3 / self.best(tiny.product(_PRODUCT, _PRODUCT, _PRODUCT))

    def relu(self, elements: int) -> Rate:
        """Bytes a second of reading and writing a tensor; of small ones a chain, so that the call does not count."""
        many = max(1, min(_CHAIN, 2**22 // elements))
        few = max(1, many // 4)
        moved = 8 * elements
        if many == few:
            return Rate(bytes=moved, rate=moved * many / self.best(tiny.chain("Relu", many, (1, elements))))
        times = [self.best(tiny.chain("Relu", count, (1, elements))) for count in (few, many)]
        each = max(times[1] - times[0], times[1] / 10) / (many - few)
        return Rate(bytes=moved, rate=moved / each)

    def reading(self) -> Rate:
        """Bytes a second of reading weights alone."""
        moved = 4 * _READ_ONLY**2
        return Rate(bytes=moved * 2, rate=moved / self.best(tiny.product(1, _READ_ONLY, _READ_ONLY)))

    def overhead(self) -> float:
        """Milliseconds that one more operator with next to nothing to do adds to a run."""
        longer, shorter = (self.best(tiny.chain("Sigmoid", count, (1, 4))) for count in (_CHAIN, 4))
        return max(longer - shorter, 0.0) / (_CHAIN - 4) * 1e3

    def overheads(self) -> dict[str, float]:
        """Milliseconds of an operator of each kind that has next to nothing to do, as the runtime tells them."""
        chains: Mapping[str, onnx.ModelProto] = {
            "convolution": tiny.convolutions([16] * (_CHAIN + 1), 1, 1),
            "product": tiny.chain("MatMul", _CHAIN, (4, 4), inputs=2),
            "other": tiny.chain("Sigmoid", _CHAIN, (1, 4)),
        }
        return {kind: self._told(model) for kind, model in chains.items()}

    def _told(self, model: onnx.ModelProto) -> float:
        session = self._runtime.load(tiny.save(model, self._path), threads=self._threads)
        return median(found.milliseconds for found in session.operator_times(_feeds(session)))


def _feeds(session: Session) -> dict[str, Array]:
    generator = np.random.default_rng(0)
    shapes = {spec.name: [int(size) for size in spec.shape] for spec in session.inputs}
    return {name: generator.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def steps(peak: Peak) -> list[str]:
    """Return what was measured as phrases, the rates of bytes in their steps."""
    falls = [(a, b) for a, b in pairwise(peak.rates) if b.rate < 0.75 * a.rate]
    near = max(peak.rates, key=lambda found: found.rate).rate if falls else peak.bytes
    return [
        f"{peak.macs / 1e9:.0f} G multiply-adds/s",
        f"{near / 1e9:.0f} GB/s within the caches, {peak.bytes / 1e9:.0f} GB/s beyond",
        f"{peak.overhead * 1e3:.2f} us for an operator with nothing to do",
    ]
