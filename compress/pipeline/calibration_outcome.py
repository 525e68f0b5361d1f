"""What a calibration ends with: the model, or the reason why there is none; predicted against measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from compress.axes.analysis import Analysis
    from compress.latency import LatencyModel
    from compress.latency.measurement import Measurement
    from compress.pipeline.calibration_job import Job


@dataclass(frozen=True)
class Outcome:
    """The model, and the held-out configurations: predicted and measured milliseconds."""

    model: LatencyModel
    path: Path
    predicted: tuple[float, ...]
    held_out: tuple[Measurement, ...]

    @property
    def dense(self) -> float:
        """Milliseconds of the dense network, as measured."""
        return self.model.networks[-1].milliseconds

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON types."""
        return {
            "file": str(self.path),
            "key": self.model.key.model_dump(mode="json"),
            "network": self.model.networks[-1].model_dump(mode="json"),
            "kinds": len(self.model.kinds),
            "held_out": [
                {
                    "predicted": predicted,
                    "measured": one.milliseconds,
                    "noise": one.noise,
                    "widths": list(one.widths),
                    "densities": list(one.densities),
                }
                for predicted, one in zip(self.predicted, self.held_out, strict=True)
            ],
        }


def conclude(job: Job, analysis: Analysis, name: str, path: Path, base: LatencyModel | None) -> Outcome:
    """Fit to all that was measured but outliers, and judge.

    Raises:
        UndecidedError: the measurements contradict each other, or predictions are of no use.
    """
    from compress.latency import LatencyModel
    from compress.latency.judging import check, held_out, outliers
    from compress.latency.measurement import choices_of
    from compress.latency.record import VERSION, HeldOut, ModelRecord, Network

    fitted, kept_out = job.scaled(job.state.fitted), job.scaled(job.state.held_out)
    job.calibration.fit(fitted)
    # Corners stay whatever they took: without them there would be configurations outside what was measured.
    wrong = set(outliers(job.calibration.predicted(choices_of(fitted)), _times(fitted))) - job.corners
    if wrong:
        job.calibration.fit([one for at, one in enumerate(fitted) if at not in wrong])
    key = job.state.key
    assert key is not None, "something was measured"

    def model(found: HeldOut) -> LatencyModel:
        network = Network(
            name=name,
            fingerprint=job.fingerprint,
            milliseconds=float(np.median(job.state.dense)),
            drift=_drift(job.state.dense),
            configurations=len(fitted),
            held_out=found,
        )
        others = [one for one in base.networks if one.fingerprint != job.fingerprint] if base else []
        kinds = (dict(base.kinds) if base else {}) | job.calibration.records()
        return LatencyModel(
            ModelRecord(version=VERSION, key=key, step=job.step, kinds=kinds, networks=[*others, network])
        )

    choices = choices_of(kept_out)
    bound = model(HeldOut(error=0.0, spearman=0.0, configurations=1)).bind(analysis)
    predicted = bound.milliseconds(choices.widths, choices.densities if bound.layers else None)
    found = held_out(predicted, _times(kept_out))
    whole = [*fitted, *kept_out]
    check(np.concatenate([job.calibration.predicted(choices_of(fitted)), predicted]), whole, found)
    return Outcome(model(found), path, tuple(predicted.tolist()), tuple(kept_out))


def _times(measurements: Sequence[Measurement]) -> np.ndarray[Any, np.dtype[Any]]:
    return np.array([one.milliseconds for one in measurements])


def _drift(dense: Sequence[float]) -> float:
    """Half the spread of the middle half of the dense file's times, relative to their median."""
    low, middle, high = np.quantile(np.array(dense), (0.25, 0.5, 0.75))
    return float((high - low) / 2 / middle)
