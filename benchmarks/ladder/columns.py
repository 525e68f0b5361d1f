"""The columns of the table, each the class that climbs it; imported on use, since Torch-Pruning is optional."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.ladder.climbing import Climber


def _compress() -> type[Climber]:
    from benchmarks.ladder.compress_column import Compress

    return Compress


def _torch_pruning() -> type[Climber]:
    from benchmarks.ladder.torch_pruning_column import TorchPruning

    return TorchPruning


def _torch_pruning_heads() -> type[Climber]:
    from benchmarks.ladder.torch_pruning_column import TorchPruningWithHeads

    return TorchPruningWithHeads


COLUMNS: dict[str, Callable[[], type[Climber]]] = {
    "compress": _compress,
    "torch-pruning": _torch_pruning,
    "torch-pruning-heads": _torch_pruning_heads,
}
