"""The latency model that a target in latency is predicted with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from compress.errors import InputError
from compress.pipeline.place import Place

if TYPE_CHECKING:
    from compress.latency import LatencyModel


def load(file: Path, place: Place, granularity: int | None = None) -> LatencyModel:
    """Read a latency model.

    Raises:
        InputError: it is missing or damaged, of another runtime or number of threads, or was calibrated in coarser
            steps than ``granularity``.
    """
    from compress.latency import LatencyModel

    model = LatencyModel.load(file)
    model.require(runtime=place.runtime, threads=place.threads, where=str(file))
    if granularity is not None and granularity < model.step:
        raise InputError(
            f"was calibrated in steps of {model.step} channels, and --granularity {granularity} goes between",
            where=str(file),
            hint=f"give --granularity {model.step}, or calibrate with --step {granularity}",
        )
    return model
