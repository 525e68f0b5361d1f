"""Small random networks over tokens: attention in the ways that people write it, gates, windows, norms, recurrence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

SIDE = 4
TOKENS = SIDE * SIDE
WIDTH, HEADS, HEAD = 12, 3, 4


@dataclass(frozen=True)
class Block:
    """One step of a network: what it does, and two free choices."""

    kind: str
    choice: int
    norm: str


KINDS = (
    "split qkv", "fused qkv", "heads first", "width first", "chunked", "grouped queries", "repeated keys", "by hand",
    "einsum", "rotary halves", "rotary pairs", "rotary steps", "biased", "normed queries", "talking heads", "windows",
    "linear attention", "gated", "glu", "mixer", "depthwise", "merge", "upsample", "standardised",
    "stored matrix", "scale", "lstm", "gru",
    "local", "squeeze", "roll", "transposed", "fewer keys",
)  # fmt: skip
NORMS = ("layer", "rms", "group", "none")


def token_networks() -> st.SearchStrategy[tuple[Block, ...]]:
    """One to three blocks of any kind."""
    block = st.builds(Block, kind=st.sampled_from(KINDS), choice=st.integers(0, 5), norm=st.sampled_from(NORMS))
    return st.lists(block, min_size=1, max_size=3).map(tuple)


class DrawnTokens(nn.Module):
    """Patches, class token and position embeddings where drawn so, the blocks with residual connections, a head."""

    def __init__(self, blocks: tuple[Block, ...], *, class_token: bool) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 2, stride=2)
        self.position = nn.Parameter(torch.randn(1, TOKENS + class_token, WIDTH))
        self.class_token = nn.Parameter(torch.randn(1, 1, WIDTH)) if class_token else None
        self.blocks = nn.ModuleList(TokenBlock(block, TOKENS + class_token) for block in blocks)
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.stem(x).flatten(2).transpose(1, 2)
        if self.class_token is not None:
            tokens = torch.cat([self.class_token.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        tokens = tokens + self.position
        for block in self.blocks:
            tokens = tokens + block(tokens)
        tokens = self.norm(tokens)
        result: torch.Tensor = self.head(tokens[:, 0] if self.class_token is not None else tokens.mean(1))
        return result


class TokenBlock(nn.Module):
    """A norm and what the block does: (B, T, WIDTH) to the same."""

    def __init__(self, block: Block, tokens: int) -> None:
        super().__init__()
        self.block = block
        self.norm = _norm(block.norm)
        # Blocks that need a square of tokens leave the class token out.
        self.body = _body(block, TOKENS if block.kind in _SQUARE else tokens)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normed = self.norm(x.transpose(1, 2)).transpose(1, 2) if self.block.norm == "group" else self.norm(x)
        if self.block.kind in _SQUARE and x.shape[1] > TOKENS:
            return torch.cat([torch.tanh(normed[:, :1]), self.body(normed[:, 1:])], dim=1)
        result: torch.Tensor = self.body(normed)
        return result


_SQUARE = {"windows", "depthwise", "merge", "upsample", "standardised", "local", "squeeze", "roll", "transposed"}


def _norm(kind: str) -> nn.Module:
    match kind:
        case "layer":
            return nn.LayerNorm(WIDTH)
        case "rms":
            return nn.RMSNorm(WIDTH, eps=1e-6)
        case "group":
            return nn.GroupNorm(3, WIDTH)
    return nn.Identity()


def _body(block: Block, tokens: int) -> nn.Module:
    if block.kind in _MIXERS:
        return _MIXERS[block.kind](block, tokens)
    return Attention(block, tokens)


def _heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    return x.reshape(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)


def _image(x: torch.Tensor) -> torch.Tensor:
    return x.transpose(1, 2).reshape(x.shape[0], -1, SIDE, SIDE)


class Attention(nn.Module):
    """Self-attention; ``kind`` says how query, key and value are laid out and multiplied."""

    index: torch.Tensor
    cos: torch.Tensor
    sin: torch.Tensor

    def __init__(self, block: Block, tokens: int) -> None:
        super().__init__()
        self.kind, self.fused = block.kind, bool(block.choice % 2)
        inner = HEADS * HEAD
        shared = block.kind in ("grouped queries", "repeated keys")
        self.heads = 4 if shared else HEADS
        self.keys = 2 if shared else HEADS
        width = self.heads * HEAD if shared else inner
        self.q = nn.Linear(WIDTH, width)
        self.kv = nn.Linear(WIDTH, 2 * self.keys * HEAD, bias=self.fused)
        self.qkv = nn.Linear(WIDTH, 3 * inner, bias=self.fused)
        self.out = nn.Linear(width, WIDTH)
        self.mix = nn.Conv2d(HEADS, HEADS, 1)
        self.fewer = nn.Linear(tokens, 5)
        self.q_norm, self.k_norm = nn.LayerNorm(HEAD), nn.RMSNorm(HEAD, eps=1e-6)
        self.table = nn.Parameter(torch.randn(2 * tokens - 1, HEADS))
        place = torch.arange(tokens)
        self.register_buffer("index", place[:, None] - place[None, :] + tokens - 1)
        angle = place[:, None].float() * torch.tensor([1.0, 0.3])
        self.register_buffer("cos", torch.cos(angle), persistent=False)
        self.register_buffer("sin", torch.sin(angle), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self._projected(x)
        match self.kind:
            case "rotary halves":
                q, k = self._halves(q), self._halves(k)
            case "rotary steps":
                q, k = self._steps(q), self._steps(k)
            case "rotary pairs":
                q, k = self._pairs(q), self._pairs(k)
            case "fewer keys":
                k, v = (self.fewer(part.transpose(-2, -1)).transpose(-2, -1) for part in (k, v))
            case "normed queries":
                q, k = self.q_norm(q), self.k_norm(k)
        mixed = self._attended(q, k, v)
        return self.out(mixed.transpose(1, 2).reshape(x.shape[0], x.shape[1], -1))

    def _projected(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        batch, tokens = x.shape[:2]
        match self.kind:
            case "fused qkv" | "by hand" | "biased" | "talking heads" | "rotary halves" | "rotary steps":
                q, k, v = self.qkv(x).reshape(batch, tokens, 3, HEADS, HEAD).permute(2, 0, 3, 1, 4).unbind(0)
            case "heads first":
                q, k, v = self.qkv(x).view(batch, tokens, HEADS, 3 * HEAD).transpose(1, 2).split(HEAD, dim=-1)
            case "width first":
                whole = self.qkv(x).view(batch, tokens, HEAD, 3, HEADS).permute(3, 0, 4, 1, 2)
                q, k, v = whole[0], whole[1], whole[2]
            case "chunked" | "normed queries" | "linear attention":
                q, k, v = (_heads(part, HEADS) for part in self.qkv(x).chunk(3, dim=-1))
            case _:
                k, v = (_heads(part, self.keys) for part in self.kv(x).chunk(2, dim=-1))
                q = _heads(self.q(x), self.heads)
        return q, k, v

    def _attended(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        match self.kind:
            case "by hand":
                return ((q * HEAD**-0.5) @ k.transpose(-2, -1)).softmax(-1) @ v
            case "talking heads":
                return self.mix(self.mix(q @ k.transpose(-2, -1) * HEAD**-0.5).softmax(-1)) @ v
            case "einsum":
                equation = "...qd,...kd" if self.fused else "bhqd,bhkd->bhqk"
                weights = torch.einsum(equation + "->...qk" * self.fused, q, k).mul(0.5).softmax(-1)
                return torch.einsum("bhqk,bhkd->bhqd", weights, v)
            case "linear attention":
                return torch.relu(q) @ (torch.relu(k).transpose(-2, -1) @ v) / k.shape[-2]
            case "biased":
                bias = self.table[self.index.view(-1)].view(*self.index.shape, HEADS).permute(2, 0, 1)
                return F.scaled_dot_product_attention(q, k, v, attn_mask=bias.unsqueeze(0))
            case "grouped queries":
                return F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
            case "repeated keys":
                k, v = k.repeat_interleave(2, dim=1), v.repeat_interleave(2, dim=1)
        return F.scaled_dot_product_attention(q, k, v)

    def _halves(self, x: torch.Tensor) -> torch.Tensor:
        cos, sin = torch.cat([self.cos, self.cos], -1), torch.cat([self.sin, self.sin], -1)
        first, second = x.chunk(2, dim=-1)
        return x * cos + torch.cat([-second, first], dim=-1) * sin

    def _steps(self, x: torch.Tensor) -> torch.Tensor:
        turned = torch.stack([-x[..., 1::2], x[..., ::2]], -1).reshape(x.shape)
        return x * self.cos.repeat_interleave(2, -1) + turned * self.sin.repeat_interleave(2, -1)

    def _pairs(self, x: torch.Tensor) -> torch.Tensor:
        pairs = x.unflatten(-1, (HEAD // 2, 2))
        even, odd = pairs[..., 0], pairs[..., 1]
        turned = torch.stack([even * self.cos - odd * self.sin, even * self.sin + odd * self.cos], dim=-1)
        return turned.flatten(-2)


class Windows(nn.Module):
    """Shifted windows of 2 x 2 tokens, each attending within itself."""

    def __init__(self, block: Block, tokens: int) -> None:
        super().__init__()
        self.shift = block.choice % 2
        self.inner = Attention(Block("fused qkv", block.choice, "none"), 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        image = x.view(-1, SIDE, SIDE, WIDTH)
        if self.shift:
            image = torch.roll(image, (-1, -1), (1, 2))
        cut = image.view(-1, 2, 2, 2, 2, WIDTH).permute(0, 1, 3, 2, 4, 5).reshape(-1, 4, WIDTH)
        mixed = self.inner(cut).view(-1, 2, 2, 2, 2, WIDTH).permute(0, 1, 3, 2, 4, 5).reshape(-1, SIDE, SIDE, WIDTH)
        if self.shift:
            mixed = torch.roll(mixed, (1, 1), (1, 2))
        return mixed.reshape(-1, TOKENS, WIDTH)


class Mixer(nn.Module):
    """Blocks of two or three layers without attention over all tokens."""

    def __init__(self, block: Block, tokens: int) -> None:
        super().__init__()
        self.kind, self.odd = block.kind, bool(block.choice % 2)
        self.layers = nn.ModuleList(_MADE[block.kind](tokens))
        if block.kind in ("stored matrix", "scale"):
            self.matrix = nn.Parameter(torch.randn(WIDTH, 8) * 0.3)
            self.gamma = nn.Parameter(torch.randn(WIDTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        layers = self.layers
        match self.kind:
            case "gated":
                return layers[1](F.silu(layers[0](x)) * layers[2](x))
            case "glu":
                value, gate = layers[0](x).chunk(2, dim=-1)
                return layers[1](F.glu(layers[0](x), -1) if self.odd else value * F.gelu(gate))
            case "mixer":
                return layers[1](F.gelu(layers[0](x.transpose(1, 2)))).transpose(1, 2)
            case "depthwise" | "standardised" | "transposed" | "upsample":
                return self._convolved(_image(x)).flatten(2).transpose(1, 2)
            case "merge":
                grid = x.view(-1, 2, 2, 2, 2, WIDTH)
                merged = torch.cat([grid[:, :, 0, :, 0], grid[:, :, 1, :, 0], grid[:, :, 0, :, 1]], -1)
                spread = layers[1](torch.tanh(layers[0](merged)))
                return spread.repeat_interleave(2, 1).repeat_interleave(2, 2).reshape(-1, TOKENS, WIDTH)
            case "stored matrix":
                return layers[0](torch.relu(x @ self.matrix))
            case "scale":
                return layers[0](F.normalize(x, dim=-1)) * self.gamma
            case "lstm" | "gru":
                return layers[1](layers[0](x)[0])
            case "local":
                taken = F.unfold(torch.relu(layers[0](_image(x))), 3, padding=1)
                return layers[1](F.fold(taken, (SIDE, SIDE), 3, padding=1)).flatten(2).transpose(1, 2)
            case "squeeze":
                image = _image(x)
                gate = layers[1](torch.relu(layers[0](image.mean((2, 3)))))
                return (image * gate.sigmoid()[:, :, None, None]).flatten(2).transpose(1, 2)
        return layers[1](torch.roll(F.gelu(layers[0](x)), 1, 1))

    def _convolved(self, image: torch.Tensor) -> torch.Tensor:
        layers = self.layers
        match self.kind:
            case "depthwise":
                return layers[2](torch.relu(layers[1](layers[0](image))))
            case "standardised":
                assert isinstance(layers[0], nn.Conv2d)
                weight = layers[0].weight
                mean, var = weight.mean((1, 2, 3), keepdim=True), weight.var((1, 2, 3), keepdim=True, unbiased=False)
                return layers[1](F.conv2d(image, (weight - mean) * torch.rsqrt(var + 1e-5), layers[0].bias, padding=1))
            case "transposed":
                return layers[2](torch.relu(layers[1](layers[0](image))))
        return layers[1](F.pixel_unshuffle(F.pixel_shuffle(layers[0](image), 2), 2))


_MADE: dict[str, Callable[[int], list[nn.Module]]] = {
    "gated": lambda tokens: [nn.Linear(WIDTH, 10), nn.Linear(10, WIDTH), nn.Linear(WIDTH, 10)],
    "glu": lambda tokens: [nn.Linear(WIDTH, 10), nn.Linear(5, WIDTH)],
    "mixer": lambda tokens: [nn.Linear(tokens, 9), nn.Linear(9, tokens)],
    "depthwise": lambda tokens: [
        nn.Conv2d(WIDTH, 10, 1), nn.Conv2d(10, 10, 3, padding=1, groups=10), nn.Conv2d(10, WIDTH, 1)],
    "standardised": lambda tokens: [nn.Conv2d(WIDTH, 8, 3, padding=1), nn.Conv2d(8, WIDTH, 1)],
    "transposed": lambda tokens: [
        nn.Conv2d(WIDTH, 8, 2, stride=2), nn.ConvTranspose2d(8, 12, 2, stride=2, groups=2),
        nn.ConvTranspose2d(12, WIDTH, 1)],
    "upsample": lambda tokens: [nn.Conv2d(WIDTH, 8, 3, padding=1), nn.Conv2d(8, WIDTH, 1)],
    "merge": lambda tokens: [nn.Linear(3 * WIDTH, 9), nn.Linear(9, WIDTH)],
    "stored matrix": lambda tokens: [nn.Linear(8, WIDTH)],
    "scale": lambda tokens: [nn.Linear(WIDTH, WIDTH)],
    "lstm": lambda tokens: [
        nn.LSTM(WIDTH, 5, num_layers=2, bidirectional=True, batch_first=True), nn.Linear(10, WIDTH)],
    "gru": lambda tokens: [nn.GRU(WIDTH, 6, batch_first=True), nn.Linear(6, WIDTH)],
    "local": lambda tokens: [nn.Conv2d(WIDTH, 6, 1), nn.Conv2d(6, WIDTH, 1)],
    "squeeze": lambda tokens: [nn.Linear(WIDTH, 5), nn.Linear(5, WIDTH)],
    "roll": lambda tokens: [nn.Linear(WIDTH, 9), nn.Linear(9, WIDTH)],
}  # fmt: skip
_MIXERS = {**dict.fromkeys(_MADE, Mixer), "windows": Windows}
