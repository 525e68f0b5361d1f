"""Small random convolutional networks, written down as data so that a failing one can be read and drawn again."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

ACTIVATIONS = (F.relu, F.silu, F.hardswish, F.leaky_relu, torch.tanh)
SIZE = 6


@dataclass(frozen=True)
class Layer:
    """One step of a network: what it does, its width (a multiple of 4), and three free choices."""

    kind: str
    width: int
    choice: int
    norm: bool
    pick: int


KINDS = (
    "conv", "grouped", "depthwise", "pointwise", "residual", "concat", "gate", "pool", "pad", "chunk", "slice",
    "dropout", "twice", "shuffle", "normalised",
)  # fmt: skip


def networks() -> st.SearchStrategy[tuple[Layer, ...]]:
    """Two to six layers of any kind."""
    layer = st.builds(
        Layer,
        kind=st.sampled_from(KINDS),
        width=st.sampled_from((4, 8, 12)),
        choice=st.integers(0, 5),
        norm=st.booleans(),
        pick=st.integers(0, 5),
    )
    return st.lists(layer, min_size=2, max_size=6).map(tuple)


class Drawn(nn.Module):
    """The network that a list of layers describes, with a convolution before it and linear layers behind it."""

    def __init__(self, layers: tuple[Layer, ...], *, flat: bool) -> None:
        super().__init__()
        self.layers, self.flat = layers, flat
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        widths = [8]
        self.steps = nn.ModuleList()
        for layer in layers:
            step = Step(layer, widths)
            self.steps.append(step)
            widths.append(step.out)
        self.hidden = nn.Linear(widths[-1] * (SIZE * SIZE if flat else 1), 7)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(7, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = [torch.relu(self.stem(x))]
        for step in self.steps:
            values.append(step(values))
        last = values[-1].flatten(1) if self.flat else values[-1].mean((2, 3))
        result: torch.Tensor = self.head(self.drop(F.silu(self.hidden(last))))
        return result


class Step(nn.Module):
    """One layer; it may reach back to any value before it."""

    def __init__(self, layer: Layer, widths: list[int]) -> None:
        super().__init__()
        self.layer = layer
        self.back = layer.pick % len(widths)
        width, other = widths[-1], widths[self.back]
        self.out = {"conv": layer.width, "grouped": layer.width, "pointwise": layer.width, "pad": width + 4}.get(
            layer.kind, width
        )
        if layer.kind == "concat":
            self.out = width + other
        elif layer.kind == "slice":
            self.out = width - 2
        elif layer.kind == "depthwise":
            self.out = width * (1 + layer.choice % 2)
        self.weights = nn.ModuleList(self._made(width, other))
        self.norm = nn.BatchNorm2d(self.out) if layer.norm else nn.Identity()

    def _made(self, width: int, other: int) -> list[nn.Module]:
        layer = self.layer
        match layer.kind:
            case "conv":
                return [nn.Conv2d(width, self.out, 3, padding=1, bias=not layer.norm)]
            case "grouped":
                groups = 2 if width % 2 == 0 else 1
                return [nn.Conv2d(width, self.out, 3, padding=1, groups=groups)]
            case "depthwise":
                return [nn.Conv2d(width, self.out, 3, padding=1, groups=width, bias=bool(layer.choice % 3))]
            case "pointwise":
                return [nn.Conv2d(width, self.out, 1)]
            case "residual":
                shortcut = nn.Identity() if other == width else nn.Conv2d(other, width, 1, bias=False)
                return [nn.Conv2d(width, width, 3, padding=1), shortcut]
            case "gate":
                return [nn.Conv2d(width, 5, 1), nn.Conv2d(5, width, 1)]
            case "twice":
                return [nn.Conv2d(width, width, 1)]
            case "normalised":
                return [nn.GroupNorm(2 if width % 2 == 0 and layer.choice % 2 else 1, width)]
            case "dropout":
                return [nn.Dropout2d(0.2) if layer.choice % 2 else nn.Dropout(0.2)]
        return []

    def forward(self, values: list[torch.Tensor]) -> torch.Tensor:
        result: torch.Tensor = self.norm(self._run(values[-1], values[self.back]))
        return ACTIVATIONS[self.layer.choice % len(ACTIVATIONS)](result)

    def _run(self, x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        layer, weights = self.layer, self.weights
        width = x.shape[1]
        match layer.kind:
            case "residual":
                return weights[0](x) + weights[1](other)
            case "concat":
                return torch.cat([x, other] if layer.choice % 2 else [other, x], dim=1)
            case "gate":
                pooled = F.adaptive_avg_pool2d(x, 1) if layer.choice % 2 else x.mean((2, 3), keepdim=True)
                return x * torch.sigmoid(weights[1](torch.relu(weights[0](pooled))))
            case "pool":
                return F.max_pool2d(x, 3, 1, 1) if layer.choice % 2 else F.avg_pool2d(x, 3, 1, 1)
            case "pad":
                return F.pad(x, (0, 0, 0, 0, layer.choice % 5, 4 - layer.choice % 5))
            case "chunk" if layer.choice % 2 and width % 2 == 0:
                first, second = x.chunk(2, dim=1)
                return torch.cat([second, torch.tanh(first)], dim=1)
            case "chunk":
                first, second = x.split([2, width - 2], dim=1)
                return torch.cat([torch.sigmoid(second), first], dim=1)
            case "shuffle" if width % 2 == 0:
                lanes = x.view(x.shape[0], 2, width // 2, SIZE, SIZE)
                return lanes.transpose(1, 2).reshape(x.shape[0], width, SIZE, SIZE)
            case "shuffle":
                return x + torch.tanh(x)
            case "slice":
                return x[:, 2:] if layer.choice % 2 else x[:, :-2]
            case "twice":
                return weights[0](torch.relu(weights[0](x)))
        return weights[0](x)
