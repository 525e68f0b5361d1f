"""The compatibility matrix: what happened to a file in a runtime on a device class, or that it was not tested."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deploy.records import Record

Outcome = Literal["runs", "runs in part", "compiles", "refused", "crashed", "hung", "not tested here"]


class Cell(Record):
    """One file in one runtime on one device class. No cell is blank: ``reason`` says why it is not simply "runs".

    ``unsupported`` are operator types that the runtime lacks; ``fallbacks`` maps a provider to the nodes that run there
    instead of in the one asked for; ``needs`` names what would mend it (another opset, another dtype). ``error`` is the
    largest deviation of an output from the reference, relative to the largest reference value, and ``reference`` says
    from what. ``measured`` tells evidence from this machine from what is only compiled, or was not tested.
    """

    file: str
    runtime: str
    device: str = Field(description="device class: a processor, a GPU, or a compute capability such as 'sm 8.6'")
    outcome: Outcome
    reason: str | None = None
    unsupported: list[str] = Field(default_factory=list)
    fallbacks: dict[str, list[str]] = Field(default_factory=dict)
    nodes: int | None = Field(default=None, description="nodes after the runtime's own fusion")
    needs: str | None = None
    error: float | None = None
    reference: str | None = None
    version: str | None = None
    measured: bool = False


class Matrix(Record):
    """All cells, file by file."""

    cells: list[Cell]
