"""What measurements are written down as. Every figure can be traced to the conditions it was measured under."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from deploy.environment import Environment


class Record(BaseModel):
    """Base of everything a report is made of: unknown keys are refused, NaN survives a round trip."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings", allow_inf_nan=True)


class ModelFile(Record):
    """A deployment file, identified by content. Sizes in bytes; ``size`` includes external data files."""

    name: str
    sha256: str
    size: int
    external: dict[str, str] = Field(default_factory=dict, description="external data file -> SHA-256")
    precision: str
    opset: int | None = None
    nodes: int | None = Field(description="of an ONNX graph; an engine does not tell")


class Conditions(Record):
    """Under what a figure was measured: runtime, precision, threads, batch, device."""

    runtime: str
    version: str
    provider: str
    precision: str
    threads: int
    batch: int
    device: str
    inputs: dict[str, str] = Field(description="input -> type and shape as measured")
    settings: dict[str, str] = Field(default_factory=dict)

    def describe(self) -> str:
        """Return the conditions as one phrase."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{self.runtime} {self.version}, {self.precision}, {threads}, batch {self.batch}, {self.device}"


class Methodology(Record):
    """How latencies were taken. Figures taken differently are not comparable."""

    timing: str = "wall clock around one synchronous call, inputs and outputs in host memory"
    order: str
    inputs: str
    warmup: str
    intervals: str
    seed: int


class Quantile(Record):
    """A latency quantile in milliseconds with its interval; a bound is ``None`` where the runs were too few for one."""

    value: float
    low: float | None
    high: float | None


class WarmUp(Record):
    """Runs before counting began, and whether they had stopped drifting by then."""

    runs: int
    seconds: float
    stationary: bool


class OperatorTime(Record):
    """One operator of the graph that the runtime made of the file, and its median time in a run.

    ``name`` and ``kind`` are the runtime's own; ``nodes`` are the names of the file's nodes that it fuses, and
    ``layers`` those of the checkpoint's layers whose weights it uses: both empty where they are not known.
    """

    name: str
    kind: str
    milliseconds: float
    nodes: list[str] = Field(default_factory=list)
    layers: list[str] = Field(default_factory=list)
    provider: str | None = None


class SensorSample(Record):
    """What the system told during the measurement. Megahertz of the processors that run, degrees Celsius.

    ``seconds`` since the measurement began; ``throttled`` counts the times that the system slowed its clock for heat.
    """

    seconds: float
    clock: float | None = None
    temperature: float | None = None
    throttled: int | None = None


class Failure(Record):
    """A file that could not be measured in a runtime, and why. The others were measured all the same."""

    file: str
    runtime: str
    target: str = "here"
    threads: int
    batch: int
    kind: Literal["refused", "crashed", "hung", "unavailable", "disconnected"]
    reason: str
    hint: str | None = None


class Profile(Record):
    """One file's figures. Times in milliseconds, memory in bytes, throughput in samples per second.

    ``peak_memory`` is the peak resident memory of a fresh process that loads and runs only this file, and
    ``idle_memory`` what the same process took before loading it; ``None`` where the system does not tell.
    """

    file: ModelFile
    conditions: Conditions
    methodology: Methodology
    environment: Environment
    warmup: WarmUp
    runs: int
    p50: Quantile
    p90: Quantile
    p95: Quantile | None = Field(default=None, description="absent in reports of version 1")
    p99: Quantile
    mean: float
    throughput: float
    load_time: float
    first_inference: float
    peak_memory: int | None
    idle_memory: int | None
    samples: list[float] = Field(description="latencies in the order of measurement, thinned evenly to at most 2000")
    target: str = Field(default="here", description="the device: its name in devices.yaml, its address, or 'here'")
    operators: list[OperatorTime] = Field(default_factory=list)
    no_operators: str | None = Field(default=None, description="why there is no breakdown into operators")
    sensors: list[SensorSample] = Field(default_factory=list)
    no_sensors: str | None = Field(default=None, description="why no clock or temperature was read")

    def incomparable(self, other: Profile) -> str | None:
        """Return why the latencies of two profiles must not be compared, or ``None`` where they may be."""
        mine, theirs = self._measured_with(), other._measured_with()
        differing = [key for key, value in mine.items() if theirs[key] != value]
        return f"measured with different {', '.join(differing)}" if differing else None

    def _measured_with(self) -> dict[str, object]:
        """Everything that two latencies have to have in common. What the inputs are called does not matter."""
        under = self.conditions.model_dump(exclude={"precision"})
        shapes = {"inputs": sorted(self.conditions.inputs.values())}
        return under | shapes | {"target": self.target, "method": self.methodology.model_dump()}


class Comparison(Record):
    """Paired, randomised, interleaved measurement of two files. Ratios are new / base: below 1 is faster."""

    base: ModelFile
    new: ModelFile
    conditions: Conditions
    methodology: Methodology
    environment: Environment
    warmup: WarmUp
    pairs: int
    confidence: float
    ratio: float
    ratio_low: float | None
    ratio_high: float | None
    base_p50: float
    new_p50: float
    ratios: list[float] = Field(description="paired ratios in the order of measurement, thinned to at most 2000")
    text: str


class Control(Record):
    """The A/A control: the apparent slow-down of the baseline against itself, block by block: middle and extremes."""

    value: float | None
    low: float | None
    high: float | None
    pairs: int
    offsets: list[float] = []


class Look(Record):
    """One look of the sequential test: the slow-down (0.05 is 5 %) and its bounds, which hold at all looks together."""

    pairs: int
    blocks: int = Field(default=0, description="0 in verdicts that were not measured in blocks")
    level: float
    slowdown: float
    low: float | None
    high: float | None


Status = Literal["pass", "fail", "inconclusive", "unresolvable"]
_EXIT_CODE: dict[str, int] = {"pass": 0, "fail": 1, "inconclusive": 3, "unresolvable": 3}


class Finding(Record):
    """What the gate found of one metric, and decided.

    ``tolerance``, ``change``, ``low`` and ``high`` are shares of the baseline's figure (0.05 is 5 % more), for accuracy
    the share of samples lost. ``base`` and ``new`` are in ``unit``. A metric that could not be measured is
    ``unmeasured``: the gate does not pass then.
    """

    metric: str
    status: Literal["pass", "fail", "inconclusive", "unresolvable", "unmeasured"]
    tolerance: float
    text: str = Field(description="one sentence")
    unit: Literal["ms", "bytes", "count", "share"]
    base: float | None = None
    new: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    resolution: float | None = None


class Verdict(Record):
    """The gate's decision on all metrics, and what was measured of latency.

    Slow-downs are relative: 0.05 means that ``new`` takes 5 % longer than ``base``.
    """

    status: Status
    exit_code: Literal[0, 1, 3]
    text: str
    base: ModelFile
    new: ModelFile
    tolerance: float
    alpha: float = Field(description="bound on the chance of a wrong FAIL, and separately of a wrong PASS")
    slowdown: float | None
    low: float | None
    high: float | None
    resolution: float | None = Field(description="smallest change that this machine resolves within the budget")
    control: Control
    pairs: int
    blocks: int = Field(default=0, description="loads of both files; 0 in verdicts that were not measured in blocks")
    looks: list[Look]
    findings: list[Finding] = Field(default_factory=list, description="latency first, then what else was asked for")
    base_p50: float | None = Field(default=None, description="milliseconds")
    new_p50: float | None = Field(default=None, description="milliseconds")
    seconds: float
    budget: float
    conditions: Conditions
    methodology: Methodology
    environment: Environment
    warmup: WarmUp

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.exit_code != _EXIT_CODE[self.status]:
            raise ValueError(f"exit code {self.exit_code} does not belong to status {self.status}")
        return self


def exit_code(status: Status) -> Literal[0, 1, 3]:
    """Return the process exit code that belongs to ``status``."""
    if status == "pass":
        return 0
    return 1 if status == "fail" else 3
