"""What a Program carries beside graph and weights: where it came from, what was done to it, how its input is
prepared.
"""

from __future__ import annotations

import datetime
import platform
from functools import cache
from importlib import metadata
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

VERSION = 1
_RECORDED = ("torch", "torchvision", "timm", "onnx", "onnxruntime", "numpy")


class Preprocessing(BaseModel):
    """How an image becomes the network's input: scaled to 0..1, then ``(x - mean) / std`` per channel."""

    model_config = ConfigDict(extra="forbid")

    mean: list[float]
    std: list[float]
    size: list[int] = Field(min_length=2, max_length=2, description="height and width in pixels")
    channels: int = Field(ge=1)


class Step(BaseModel):
    """One thing that was done, with everything needed to do it again."""

    verb: str
    arguments: dict[str, Any] = {}
    versions: dict[str, str] = {}
    seed: int | None = None
    input_sha256: str | None = None
    when: str = ""
    metrics: dict[str, Any] = {}


class ProgramInfo(BaseModel):
    """The JSON kept in every file this tool writes (``compress.json``)."""

    version: int = VERSION
    model_ref: str | None = None
    submodule: str | None = None
    input_size: list[int] | None = Field(
        default=None, description="what the whole network was captured with, where given"
    )
    preprocessing: Preprocessing | None = None
    classes: list[str] | None = None
    provenance: list[Step] = []
    plans: list[dict[str, Any]] = []
    plan_sha256: str | None = None
    metrics: dict[str, Any] = {}

    @property
    def plan(self) -> dict[str, Any] | None:
        """The last plan that was applied, as JSON, or None for a network that was not pruned."""
        return self.plans[-1] if self.plans else None

    def record(
        self,
        verb: str,
        *,
        arguments: dict[str, Any] | None = None,
        seed: int | None = None,
        input_sha256: str | None = None,
        metrics: dict[str, Any] | None = None,
    ) -> None:
        """Append a :class:`Step` with the present time (UTC) and the versions of the libraries in use."""
        self.provenance.append(
            Step(
                verb=verb,
                arguments=arguments or {},
                versions=versions(),
                seed=seed,
                input_sha256=input_sha256,
                when=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                metrics=metrics or {},
            )
        )


def versions() -> dict[str, str]:
    """Return the versions of this tool, Python and the libraries that decide a result."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    from compress import __version__

    found = {"compress-toolchain": __version__, "python": platform.python_version()}
    for name in _RECORDED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
