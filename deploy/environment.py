"""The record of the machine that a measurement was made on; :mod:`deploy.machine` asks the machine."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from deploy import machine


class Environment(BaseModel):
    """Processor, system and versions; memory in bytes. ``None`` where the system does not tell."""

    model_config = ConfigDict(extra="forbid")

    processor: str
    architecture: str
    logical_cores: int
    usable_cores: int
    memory: int | None
    system: str
    python: str
    governor: str | None
    load_average: float | None
    versions: dict[str, str]


def capture() -> Environment:
    """Return the environment of this process as it is now."""
    return Environment.model_validate(machine.facts())


def processor() -> str:
    """Return the processor's name, or its architecture where the system does not tell."""
    return machine.processor()
