"""The gate's policy: which metrics may grow by how much, and under what conditions they are measured.

::

    # gate.yaml; everything may be left out
    latency: 5%          # what the file takes when nothing comes between; judged always
    p95: 10%             # tails of latency: p90, p95, p99
    memory: 5%           # peak resident memory beyond that of the process itself
    size: 0%             # of the file and its external data
    macs: 0%             # multiply-accumulates
    accuracy: 0.5%       # percentage points of top-1 that may be lost; needs data
    data: imagefolder:photos
    runtime: onnxruntime-cpu
    threads: 1
    batch: 1
    sizes: {height: 224}
    budget: 60           # seconds for latency and its tails
    alpha: 0.01          # bound on the chance of a wrong FAIL, and of a wrong PASS
    seed: 0
    timeout: 120         # seconds without a sign of life after which a runtime is taken to hang
"""

from __future__ import annotations

import difflib
import math
import os
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from compress.errors import InputError
from deploy.strictyaml import StrictLoader

TAILS = ("p90", "p95", "p99")
_MOST = 10.0


def share(value: Any) -> float:
    """Return 0.05 for ``5%``, ``"0.05"`` or 0.05.

    Raises:
        ValueError: it is no share, or not from 0 to below 10, or a bare number from 1 on: percent may be meant.
    """
    text = str(value).strip()
    try:
        number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        number = math.nan
    if isinstance(value, bool) or not 0 <= number < _MOST:
        raise ValueError(f"{value!r} is no share: write 5% or 0.05")
    if isinstance(value, int | str) and number >= 1 and not text.endswith("%"):
        raise ValueError(f"{value!r} would be {number:.0%}: write {text}%, or {number:.0%} where that is meant")
    return number


Share = Annotated[float, BeforeValidator(share)]


class Policy(BaseModel):
    """What may grow by how much: shares of the baseline's figure, and for accuracy the share of samples lost."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    latency: Share = Field(default=0.05, gt=0)
    p90: Share | None = Field(default=None, gt=0)
    p95: Share | None = Field(default=None, gt=0)
    p99: Share | None = Field(default=None, gt=0)
    memory: Share | None = None
    size: Share | None = None
    macs: Share | None = None
    accuracy: Share | None = Field(default=None, le=1)
    data: str | None = None
    runtime: str = "onnxruntime-cpu"
    threads: int = Field(default=1, ge=1)
    batch: int = Field(default=1, ge=1)
    sizes: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    budget: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    alpha: float = Field(default=0.01, gt=0, lt=0.5)
    seed: int = Field(default=0, ge=0)
    timeout: float = Field(default=120.0, gt=0, allow_inf_nan=False)

    def paced(self) -> dict[str, float]:
        """Return the tolerances of what the stop-watch decides: latency first, then its tails."""
        tails = {name: getattr(self, name) for name in TAILS}
        return {"latency": self.latency} | {name: value for name, value in tails.items() if value is not None}

    @property
    def statistical(self) -> int:
        """How many metrics share the chance of a false alarm; the others are counted, not estimated."""
        return len(self.paced()) + (self.accuracy is not None)

    @property
    def fail_alpha(self) -> float:
        """The chance of a false alarm that each statistical metric may take (Bonferroni)."""
        return self.alpha / self.statistical


def make(values: dict[str, Any], *, where: str | None = None) -> Policy:
    """Return the policy that ``values`` describe; ``where`` they were read from is named in errors.

    Raises:
        InputError: a key is unknown (the nearest one is named), or a value makes no sense.
    """
    for key in values:
        if key not in Policy.model_fields:
            near = difflib.get_close_matches(str(key), Policy.model_fields, n=1)
            known = ", ".join(Policy.model_fields)
            hint = f"did you mean {near[0]}?" if near else f"there are {known}"
            raise InputError(f"a gate's policy has no {str(key)!r}", where=where, hint=hint)
    try:
        return Policy.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise InputError(
            f"{place} of the gate's policy: {said[:1].lower() + said[1:]}",
            where=where,
            hint=None if first["type"] == "value_error" else f"it is {first['input']!r}",
        ) from error


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the keys and values of a policy file, checked as :func:`make` does.

    Raises:
        InputError: the file is missing or not YAML, or it is no policy.
    """
    where = os.fspath(path)
    try:
        values = yaml.load(Path(path).read_text(encoding="utf-8"), StrictLoader)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", where=where, hint="check the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"is not YAML ({' '.join(str(error).split())[:200]})", where=where) from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError("is not a policy", where=where, hint="write one key: value on each line, such as latency: 5%")
    make(values, where=where)
    return values
