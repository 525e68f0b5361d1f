"""The report of masking: each layer's share of zeros, and what they would save if nothing were computed for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from compress.counting import Count
from compress.program import Program
from compress.sparsity.layers import MaskableLayer


@dataclass(frozen=True)
class SparseLayer:
    """A layer that could be masked. ``pattern`` is None for a dense one, and ``reason`` then says why it is dense.

    ``macs`` are the layer's after slicing, ``nonzero_macs`` count zeros as removed.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    weights: int
    zeros: int
    macs: int
    nonzero_macs: int
    pattern: str | None
    reason: str | None

    @property
    def sparsity(self) -> float:
        """Share of the weights that the mask leaves out."""
        return self.zeros / self.weights if self.weights else 0.0


@dataclass(frozen=True)
class SparsityReport:
    """What was asked for, what was reached and over which weights.

    ``zeros`` of the ``weights`` of the masked layers are zero. ``before`` and ``after`` count the network with both
    figures of each kind: ``macs`` and ``params`` do not change, ``nonzero_macs`` and ``nonzero_params`` count zeros as
    removed, which makes nothing faster by itself.
    """

    requested: str
    note: str | None
    weights: int
    zeros: int
    layers: tuple[SparseLayer, ...]
    before: Count
    after: Count

    @property
    def sparsity(self) -> float:
        """Share of zeros among the weights of the masked layers."""
        return self.zeros / self.weights if self.weights else 0.0

    @property
    def masked_macs(self) -> int:
        """MACs of the masked layers, after slicing: what zeros could save at most."""
        return sum(layer.macs for layer in self.layers if layer.pattern is not None)

    @property
    def achieved(self) -> str:
        """What was reached, in words."""
        masked = [layer for layer in self.layers if layer.pattern is not None]
        dense = len(self.layers) - len(masked)
        return (
            f"{100 * self.sparsity:.2f} % zeros among the {self.weights} weights of {len(masked)} layers"
            f"{f' ({dense} stay dense)' if dense else ''}, which do "
            f"{100 * self.masked_macs / max(self.after.macs, 1):.2f} % of the MACs; counting zeros as removed, "
            f"{100 * self.after.nonzero_macs / max(self.after.macs, 1):.2f} % of the MACs and "
            f"{100 * self.after.nonzero_params / max(self.after.params, 1):.2f} % of the parameters are left"
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        return {
            "requested": self.requested,
            "achieved": self.achieved,
            "note": self.note,
            "sparsity": self.sparsity,
            "weights": self.weights,
            "zeros": self.zeros,
            "masked_macs": self.masked_macs,
            "before": self.before.summary(),
            "after": self.after.summary(),
            "layers": [asdict(layer) | {"sparsity": layer.sparsity} for layer in self.layers],
        }


def sparse_layers(
    program: Program, layers: list[MaskableLayer], reasons: Mapping[str, str], count: Count | None = None
) -> tuple[SparseLayer, ...]:
    """Describe ``layers`` of ``program`` as its masks are; ``reasons`` say why a layer is dense, by name."""
    masks = program.masks
    nonzero: dict[str, int] = {}
    for counted in (count or program.count()).layers:
        if counted.weight is not None:
            owner = program.tied.get(counted.weight, counted.weight)
            nonzero[owner] = nonzero.get(owner, 0) + counted.nonzero_macs
    found = []
    for layer in layers:
        mask = masks.get(layer.weight)
        size = program.tensors[layer.weight].numel()
        found.append(
            SparseLayer(
                layer.name,
                layer.kind,
                layer.shape,
                size,
                mask.zeros if mask else 0,
                layer.macs,
                nonzero.get(layer.weight, layer.macs),
                mask.pattern if mask else None,
                None if mask else reasons.get(layer.name),
            )
        )
    return tuple(found)
