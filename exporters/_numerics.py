"""How far two runs of a network are apart, and how far they may be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from exporters._runtime import Array

NOISE_FACTOR = 10.0
FLOOR = 1e-5
WEAK = 1e-2


def relative_error(actual: Array, reference: Array) -> float:
    """Return the largest difference, divided by the largest finite magnitude in ``reference`` (by 1 where that is 0).

    Integers and booleans: the share of elements that differ. Infinite where shapes or non-finite elements differ.
    """
    if actual.shape != reference.shape:
        return float("inf")
    if not reference.size:
        return 0.0
    if reference.dtype.kind != "f":
        return float(np.mean(actual != reference))
    finite = np.isfinite(reference)
    if not np.array_equal(actual[~finite], reference[~finite], equal_nan=True):
        return float("inf")
    if not finite.any():
        return 0.0
    wide, exact = actual[finite].astype(np.float64), reference[finite].astype(np.float64)
    scale = float(np.max(np.abs(exact))) or 1.0
    error = float(np.max(np.abs(wide - exact))) / scale
    return error if np.isfinite(error) else float("inf")


@dataclass
class OutputFigures:
    """The worst error of one output so far, and the noise that torch's own float32 has on the same inputs."""

    name: str
    exact: bool
    max_error: float = 0.0
    float32_noise: float = 0.0
    largest: float = 0.0

    @property
    def allowed(self) -> float:
        """A small multiple of float32's own error; integers have no floor: they are equal or they are not."""
        return max(0.0 if self.exact else FLOOR, NOISE_FACTOR * self.float32_noise)

    @property
    def passed(self) -> bool:
        """Whether the error is within what is allowed."""
        return self.max_error <= self.allowed

    def add(self, actual: Array, reference: Array, float32: Array) -> None:
        """Take one more run into account."""
        self.max_error = max(self.max_error, relative_error(actual, reference))
        self.float32_noise = max(self.float32_noise, relative_error(float32, reference))
        finite = reference[np.isfinite(reference)] if reference.dtype.kind == "f" else reference
        self.largest = max(self.largest, float(np.max(np.abs(finite.astype(np.float64)), initial=0.0)))


@dataclass
class Figures:
    """What a verification measured over all outputs."""

    outputs: list[OutputFigures]
    runtime: str
    batches: list[int] = field(default_factory=list)
    samples: int = 0
    real_samples: int = 0

    @property
    def worst(self) -> OutputFigures:
        """The output closest to (or furthest beyond) what it is allowed."""
        return max(self.outputs, key=lambda output: output.max_error / (output.allowed or 1e-300))

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON types; ``max_error``, ``allowed``, ``float32_noise`` are the worst output's.

        ``conclusive`` is false where float32 itself is so noisy on this network that passing proves little.
        """
        worst = self.worst
        return {
            "max_error": worst.max_error,
            "allowed": worst.allowed,
            "float32_noise": worst.float32_noise,
            "conclusive": all(output.allowed <= WEAK for output in self.outputs),
            "reference": "float64",
            "relative_to": "largest magnitude of the output",
            "runtime": self.runtime,
            "samples": self.samples,
            "real_samples": self.real_samples,
            "batches": self.batches,
            "outputs": {
                output.name: {
                    "max_error": output.max_error,
                    "allowed": output.allowed,
                    "float32_noise": output.float32_noise,
                    "largest": output.largest,
                }
                for output in self.outputs
            },
        }
