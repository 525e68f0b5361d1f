"""Two convolutions with one thing between them: an operator, or a few, given as a function."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

import compress
from compress import Program


class Between(nn.Module):
    """Convolution and batch norm, something in between given as a function, and a head."""

    def __init__(self, middle: Callable[..., torch.Tensor], channels: int = 12, out: int | None = None) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.side = nn.Conv2d(3, channels, 1)
        self.body = nn.Conv2d(out or channels, 10, 3, padding=1)
        self.head = nn.Linear(10, 5)
        self.middle = middle

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = self.middle(F.relu(self.norm(self.stem(x))), self.side(x))
        return self.head(F.relu(self.body(wide)).mean((2, 3)))


def captured(module: nn.Module, *shape: int) -> Program:
    torch.manual_seed(0)
    return compress.capture(module, (torch.randn(2, *(shape or (3, 8, 8))),))


def _chunk_and_swap(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    first, second = x.chunk(2, dim=1)
    return torch.cat([second * y[:, :6], first], dim=1)


def _split_unequal(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    a, b, c = x.split([3, 4, 5], dim=1)
    return torch.cat([c, y, a.sigmoid(), b], dim=-3)


def _split_at(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    first, second, third = x.tensor_split((1, -5), dim=1)
    return torch.cat([third, first, y, second.tanh()], dim=1)


def _pad_channels(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.pad(x[:, 2:10], (0, 0, 0, 0, 3, 1), value=0.5) + y


def _pad_that_cuts(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    shifted = F.pad(x, (-1, 1, 2, -2, -3, 0))
    return torch.cat([shifted * F.pad(y, (0, 0, 0, 0, 1, -4)), x[:, :3]], dim=1)


def _gate(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return x * y.mean((2, 3), keepdim=True).sigmoid()


def _gate_by_view(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    gate = F.adaptive_avg_pool2d(y, 1).flatten(1).sigmoid()
    return x * gate.view(gate.shape[0], 12, 1, 1).expand_as(x)


def _unflatten(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x.flatten(2) + y.flatten(2)).unflatten(1, (12, 1)).squeeze(2).unflatten(2, (8, 8))


def _transposed(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    last = x.permute(0, 2, 3, 1).reshape(-1, 64, 12).transpose(1, 2)
    return last.reshape(-1, 12, 8, 8) + y


def _where(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.where(x > 0.1, x, torch.lerp(x, y, 0.25)).clamp(-2, 2)


def _resized(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    small = F.max_pool2d(x, 2) + F.avg_pool2d(y, 2)
    return F.interpolate(small, scale_factor=2.0, mode="nearest")


def _folded_into_batch(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    alone = x.reshape(x.shape[0] * 12, 1, 8, 8)
    return F.avg_pool2d(alone, 3, 1, 1).reshape(x.shape[0], 12, 8, 8) * y


def _one_channel(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return x[:, :1].expand(-1, 12, -1, -1) + x[:, 3:4] * y


def _channel_mean(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return x.mean(1, keepdim=True) * y


def _picked(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    order = torch.tensor([7, 2, 11, 0, 5, 4, 3, 10, 9, 8, 1, 6])
    return x[:, order] * y[:, torch.tensor([-1, *range(11)])] + torch.tanh(x).index_select(1, order)


def _picked_twice(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.cat([x[:, torch.tensor([0, 1, 1, 4, 5])], y.index_select(1, torch.tensor([3, 3, 0]))], dim=1)


def _glued(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return F.glu(torch.cat([x, y], 1), 1).repeat_interleave(2, 1) + y.tile(1, 2, 1, 1)


def _repeated_for_the_batch(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    grid = torch.linspace(-1.0, 1.0, 64).view(1, 1, 64).repeat(x.shape[0], 1, 1)
    return x * grid.reshape(x.shape[0], -1, 8, 8) + y


def _filled(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.cat([x, y.new_zeros(y.shape[0], 4, 8, 8)], 1) * F.pad(y, (0, 0, 0, 0, 4, 0))


def _fourier(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.fft.irfft2(torch.fft.rfft2(x, norm="ortho") * 0.5, s=(8, 8), norm="ortho") + y


def _sampled(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    grid = torch.tanh(y[:, :2]).permute(0, 2, 3, 1)
    return F.grid_sample(x, grid, align_corners=False) + y


def _unfolded(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return x.unfold(2, 3, 1).unfold(3, 3, 1).amax((-2, -1)) + y[:, :, 1:-1, 1:-1]


MIDDLES: dict[str, tuple[Callable[..., torch.Tensor], int | None]] = {
    "add": (torch.add, None),
    "chunk": (_chunk_and_swap, None),
    "split": (_split_unequal, 24),
    "split at": (_split_at, 24),
    "pad that cuts": (_pad_that_cuts, 12),
    "pad": (_pad_channels, None),
    "gate": (_gate, None),
    "gate by view": (_gate_by_view, None),
    "unflatten": (_unflatten, None),
    "transpose": (_transposed, None),
    "where": (_where, None),
    "resize": (_resized, None),
    "fold into batch": (_folded_into_batch, None),
    "one channel": (_one_channel, None),
    "channel mean": (_channel_mean, None),
    "picked by a list": (_picked, None),
    "picked twice": (_picked_twice, 8),
    "gated and repeated": (_glued, 24),
    "repeated for the batch": (_repeated_for_the_batch, None),
    "filled": (_filled, 16),
    "Fourier": (_fourier, None),
    "sampled": (_sampled, None),
    "windows": (_unfolded, None),
}
