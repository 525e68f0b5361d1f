"""What a report holds, version 2. Absent parts are allowed everywhere, and ``missing`` says why they are absent.

These classes are the one description of the format: :mod:`deploy.report.documentation` writes ``docs/report.md`` and
``docs/report.schema.json`` from them, and :mod:`deploy.report.versions` brings older reports to this version.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from deploy.compatibility.records import Matrix
from deploy.environment import Environment
from deploy.records import Comparison, Conditions, Failure, Profile, Quantile, Record, Verdict
from deploy.why.records import Explanation

VERSION = 2

Section = Literal[
    "source",
    "result",
    "steps",
    "figures",
    "accuracy",
    "latency",
    "points",
    "search",
    "spaces",
    "layers",
    "verification",
    "engines",
    "profiles",
    "failures",
    "operators",
    "comparison",
    "matrix",
    "why",
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
    was measured under, and ``missing`` why a value is absent. ``once`` marks a figure that comes from a single
    measurement: its change is no evidence, and is not coloured as better or worse.
    """

    name: str
    unit: str
    before: float | None = None
    after: float | None = None
    better: Literal["lower", "higher"] = "lower"
    once: bool = False
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


class Point(Record):
    """One configuration: a file as it was measured on one device, and what was done to make it.

    ``accuracy`` is a share (0.91 is 91 %) of ``metric`` on ``data``; ``latency`` the p50 in milliseconds under
    ``conditions``; ``size`` in bytes; ``macs`` at batch 1, after slicing. ``configuration`` holds what a reader needs
    to make the file again: what was pruned and by which settings, pattern, precision. What is absent says why in
    ``missing``, which maps a field's name to the reason.
    """

    name: str
    role: Literal["baseline", "candidate"] = "candidate"
    file: str
    sha256: str | None = None
    target: str = Field(default="here", description="the device, as in a profile")
    accuracy: float | None = None
    metric: str | None = None
    data: str | None = None
    latency: Quantile | None = None
    conditions: Conditions | None = None
    size: int | None = None
    macs: int | None = None
    params: int | None = None
    configuration: dict[str, Any] = Field(default_factory=dict)
    missing: dict[str, str] = Field(default_factory=dict)


class Trial(Record):
    """One candidate that a search judged: ``loss`` on held-out samples by shared weights, ``cost`` as predicted.

    ``not_dominated`` says that no other is better in both. ``final`` names the model that was made of it, and
    ``measured`` is that model's p50 in milliseconds. ``configuration`` says what it keeps.
    """

    number: int
    loss: float
    cost: float
    not_dominated: bool = False
    final: str | None = None
    measured: float | None = None
    configuration: dict[str, Any] = Field(default_factory=dict)


class Search(Record):
    """What a search found. ``cost`` names what was minimised beside the loss, ``unit`` (``ms`` or ``count``) what it is
    in; ``dense`` and ``dense_loss`` are the whole network's.
    """

    cost: str
    unit: str
    dense: float
    dense_loss: float | None = None
    trials: list[Trial] = Field(default_factory=list, description="those that are not dominated first, cheapest first")
    settings: dict[str, Any] = Field(default_factory=dict)
    throughput: dict[str, Any] = Field(default_factory=dict, description="candidates per second and seconds by part")


class RatioBucket(Record):
    """Recipes of neighbouring ratios of MACs to parameters, from ``low`` to ``high``, and the errors that they had."""

    low: float
    high: float
    recipes: int
    mean_error: float
    best_error: float


class Regime(Record):
    """The recipes of a pruning space that keep ``share`` of the MACs: every one's error after the same short training,
    and its MACs per parameter, of the whole space (``initial``) and of the refined one.

    ``buckets`` and ``band`` (the ratios that the refined space keeps) are of the reading that was used. ``held_out``
    says what the band is worth on recipes that it was not chosen by, ``refinement`` what refining brought; ``why`` is
    the reason where there is no refined population. ``plans`` maps the winners to their files.
    """

    share: float
    initial_errors: list[float]
    initial_ratios: list[float]
    refined_errors: list[float] = Field(default_factory=list)
    refined_ratios: list[float] = Field(default_factory=list)
    buckets: list[RatioBucket] = Field(default_factory=list)
    band: list[float] = Field(default_factory=list, description="lowest and highest MACs per parameter")
    held_out: str | None = None
    refinement: str | None = None
    why: str | None = None
    plans: dict[str, str] = Field(default_factory=dict)


class Spaces(Record):
    """What a search of pruning spaces found, regime by regime; ``dense_error`` is the whole network's."""

    regimes: list[Regime]
    dense_error: float | None = None
    settings: dict[str, Any] = Field(default_factory=dict)


class Report(Record):
    """Everything that is known about one compression. ``missing`` maps a section to the reason for its absence."""

    version: Literal[2] = 2
    title: str
    created: str | None = Field(default=None, description="ISO 8601")
    source: Source | None = Field(default=None, description="what went in")
    result: Source | None = Field(default=None, description="what came out")
    steps: list[StepRow] = Field(default_factory=list, description="what was done, in order")
    figures: list[FigureRow] = Field(default_factory=list, description="before and after")
    points: list[Point] = Field(default_factory=list, description="every configuration that was measured")
    search: Search | None = Field(default=None, description="the front that a search found")
    spaces: Spaces | None = Field(default=None, description="the pruning spaces that were searched")
    layers: list[LayerRow] = Field(default_factory=list, description="in graph order")
    verification: list[Verification] = Field(default_factory=list, description="outputs against the network's")
    engines: list[Engine] = Field(default_factory=list, description="compiled, or why not")
    profiles: list[Profile] = Field(default_factory=list, description="measurements, one for each file and condition")
    failures: list[Failure] = Field(default_factory=list, description="what could not be measured, and why")
    comparison: Comparison | None = Field(default=None, description="baseline and candidate in pairs")
    matrix: Matrix | None = Field(default=None, description="which file runs where")
    why: Explanation | None = Field(default=None, description="why it is as fast as it is")
    gate: Verdict | None = Field(default=None, description="the decision on a regression")
    environment: Environment | None = Field(default=None, description="the machine that made the report")
    missing: dict[Section, str] = Field(default_factory=dict, description="section -> why it is absent")
