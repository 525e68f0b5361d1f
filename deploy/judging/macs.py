"""Multiply-accumulates of an ONNX file, counted from its graph."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping


def count(path: str | os.PathLike[str], inputs: Mapping[str, str]) -> int | None:
    """Return the multiply-accumulates of a run on ``inputs``, or ``None`` where a layer's sizes cannot be told.

    Args:
        inputs: input -> type and shape as :class:`deploy.records.Conditions` has them, such as ``float32[1, 3, 8, 8]``.
    """
    from deploy.why import costs, graph

    sizes = {name: tuple(json.loads(kind[kind.index("[") :])) for name, kind in inputs.items()}
    read = graph.read(path, sizes)
    counts = [costs.macs(node, read) for node in read.nodes.values()]
    known = [found for found in counts if found is not None]
    return sum(known) if len(known) == len(counts) else None
