"""Staircases made up, for tests that measure nothing."""

from __future__ import annotations

from compress.latency.staircase import KINDS, Key, Staircase, Stairs


def staircase(block: int = 16, alignment: int = 4, runtime: str = "onnxruntime-cpu", **others: Stairs) -> Staircase:
    """The same stairs for every kind of layer, but for those given: ``linear`` and such, by the kind's first word."""
    usual = Stairs(block, alignment, 1.8, 0.01)
    stairs = {kind: others.get(kind.split()[0].strip("1x"), usual) for kind in KINDS}
    return Staircase(Key("here", "a processor", runtime, "1.0", 1), stairs)
