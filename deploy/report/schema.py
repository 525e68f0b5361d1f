"""What a report holds, version 1. Absent parts are allowed everywhere, and ``missing`` says why they are absent."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from deploy.environment import Environment
from deploy.records import Comparison, Profile, Record, Verdict

VERSION = 1

Section = Literal[
    "source",
    "result",
    "steps",
    "figures",
    "accuracy",
    "latency",
    "layers",
    "verification",
    "engines",
    "profiles",
    "comparison",
    "gate",
    "environment",
]


class Source(Record):
    """A file that went in or came out. ``size`` in bytes; ``model`` is a reference such as ``models:resnet20``."""

    file: str
    sha256: str | None = None
    size: int | None = None
    model: str | None = None
    kind: str | None = None
    notes: list[str] = Field(default_factory=list)


class StepRow(Record):
    """One thing that was done, as the checkpoint's provenance records it; ``when`` is ISO 8601."""

    verb: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    seed: int | None = None
    input_sha256: str | None = None
    when: str | None = None
    metrics: dict[str, Any] = Field(default_factory=dict)


class FigureRow(Record):
    """One figure before and after.

    ``unit`` chooses the formatting: ``count`` (MACs, parameters), ``bytes``, ``ms``, ``share`` (0.91 is shown as
    91 %), ``per second``, or any other text, which is written behind the number. ``conditions`` says what the figure
    was measured under, and ``missing`` why a value is absent.
    """

    name: str
    unit: str
    before: float | None = None
    after: float | None = None
    better: Literal["lower", "higher"] = "lower"
    conditions: str | None = None
    missing: str | None = None


class LayerRow(Record):
    """One layer: its width (output channels) and MACs before and after, and what became of it and why."""

    name: str
    kind: str
    width_before: int | None = None
    width_after: int | None = None
    macs_before: int | None = None
    macs_after: int | None = None
    status: Literal["pruned", "protected", "frozen", "kept"]
    reason: str | None = None


class Verification(Record):
    """A written file checked against the network it was written from; ``figures`` as the exporter reports them."""

    artifact: str
    sha256: str | None = None
    passed: bool | None = None
    figures: dict[str, Any] = Field(default_factory=dict)


class Engine(Record):
    """A TensorRT engine. ``status`` is written out: ``compiled ahead of time, not executed``. ``size`` in bytes."""

    capability: str
    precision: str
    status: str
    file: str | None = None
    size: int | None = None
    message: str | None = None


class Report(Record):
    """Everything that is known about one compression. ``missing`` maps a section to the reason for its absence."""

    version: Literal[1] = 1
    title: str
    created: str | None = None
    source: Source | None = None
    result: Source | None = None
    steps: list[StepRow] = Field(default_factory=list)
    figures: list[FigureRow] = Field(default_factory=list)
    layers: list[LayerRow] = Field(default_factory=list)
    verification: list[Verification] = Field(default_factory=list)
    engines: list[Engine] = Field(default_factory=list)
    profiles: list[Profile] = Field(default_factory=list)
    comparison: Comparison | None = None
    gate: Verdict | None = None
    environment: Environment | None = None
    missing: dict[Section, str] = Field(default_factory=dict)
