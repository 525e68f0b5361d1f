"""What running a network without numbers tells: counting it and predicting its costs both need it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from compress.memory import Activation, activations
from compress.shapes import Shapes, meta_values, shapes_in

if TYPE_CHECKING:
    from compress.program import Program


@dataclass(frozen=True)
class Running:
    """The shapes of all values of the evaluation graph at batch 1, and the buffers that it allocates."""

    shapes: Shapes
    buffers: Sequence[Activation]

    @classmethod
    def of(cls, program: Program) -> Running:
        """Run ``program`` without numbers."""
        graph = program.graphs[False]
        values = meta_values(graph, program.tensors, program.input_shapes(batch=1))
        return cls(shapes_in(values), activations(graph, values))
