"""Small networks with the features that capturing, files and training must carry over."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

import compress
from compress import Program


class Classifier(nn.Module):
    """Convolutions with batch norm, a squeeze gate, dropout; ``width`` channels, ten classes."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        self.block = nn.Sequential(
            nn.Conv2d(width, 2 * width, 3, 2, 1), nn.BatchNorm2d(2 * width), nn.Hardswish(),
            nn.Conv2d(2 * width, width, 1, bias=False), nn.BatchNorm2d(width),
        )  # fmt: skip
        self.short = nn.Conv2d(width, width, 1, 2)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(width, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.stem(image)
        x = F.relu(self.block(x) + self.short(x))
        result: torch.Tensor = self.head(self.drop(x.mean((2, 3))))
        return result


class Tied(nn.Module):
    """Two layers over one weight, a buffer that state dicts leave out, a frozen parameter, a constant in the code."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 12, 3, padding=1)
        self.first = nn.Linear(12, 12)
        self.second = nn.Linear(12, 12)
        self.second.weight = self.first.weight
        self.offset: torch.Tensor
        self.register_buffer("offset", torch.linspace(-1, 1, 12), persistent=False)
        self.scale = nn.Parameter(torch.full((12,), 0.5), requires_grad=False)
        self.head = nn.Linear(12, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.body(x)).mean((2, 3)) * self.scale + self.offset
        x = torch.tanh(self.first(x)) * self.second(x)
        result: torch.Tensor = self.head(x + torch.tensor([0.25]))
        return result


class Pair(NamedTuple):
    """What :class:`Heads` returns in training."""

    logits: torch.Tensor
    auxiliary: torch.Tensor | None


class Heads(nn.Module):
    """An auxiliary head in training only, named-tuple output as torchvision's GoogLeNet."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 12, 3, padding=1)
        self.norm = nn.BatchNorm2d(12)
        self.main = nn.Linear(12, 5)
        self.extra = nn.Linear(12, 5)

    def forward(self, x: torch.Tensor) -> Pair | torch.Tensor:
        x = F.relu(self.norm(self.body(x))).mean((2, 3))
        return Pair(self.main(x), self.extra(x)) if self.training else self.main(x)


class Segmenter(nn.Module):
    """A dictionary of outputs, as torchvision's segmentation networks; one of them is integer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 12, 3, 2, 1), nn.BatchNorm2d(12), nn.ReLU())
        self.out = nn.Conv2d(12, 4, 1)
        self.aux = nn.Conv2d(12, 4, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor | None]:
        size = x.shape[-2:]
        deep = self.body(x)
        out = F.interpolate(self.out(deep), size=size, mode="bilinear", align_corners=False)
        aux = F.interpolate(self.aux(deep), size=size, mode="bilinear", align_corners=False)
        return {"out": out, "nothing": None, "aux": aux, "label": out.argmax(1)}


class TwoInputs(nn.Module):
    """An image and a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Conv2d(3, 10, 3)
        self.vector = nn.Linear(6, 10)
        self.head = nn.Linear(10, 3)

    def forward(self, picture: torch.Tensor, facts: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.head(torch.relu(self.image(picture).mean((2, 3)) + self.vector(facts)))
        return result


def image(batch: int = 2, size: int = 16, seed: int = 0) -> torch.Tensor:
    """Random images of shape (batch, 3, size, size)."""
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(seed))


def captured(module: nn.Module, size: int = 16) -> Program:
    """Capture a network that takes one image."""
    return compress.capture(module, (image(size=size),))


def warmed(build: Callable[[], nn.Module], size: int = 16) -> nn.Module:
    """Build with a fixed seed; give batch norm running statistics of real signals and affine values of its own."""
    torch.manual_seed(1)
    module = build()
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.uniform_(-0.5, 0.5)
        for _ in range(3):
            module.train()(image(8, size))
    return module
