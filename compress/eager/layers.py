"""What torch's own layers say of their widths beside their weights: ``in_channels``, ``num_features`` and the like.

Running the network reads few of these, but people and tools do.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from compress.eager.widths import Attribute


def described(module: nn.Module) -> dict[Attribute, int]:
    """The widths of every torch layer in ``module``, read off its (already cut) weights and its group count."""
    return {
        Attribute(path, name): number
        for path, part in module.named_modules()
        for name, number in _widths(part)
        if type(vars(part).get(name)) is int
    }


def _widths(part: nn.Module) -> Iterator[tuple[str, int]]:
    weight = part._parameters.get("weight")
    if isinstance(part, nn.MultiheadAttention):
        yield from _attention(part)
    elif isinstance(part, nn.RNNBase):
        yield "input_size", part.get_parameter("weight_ih_l0").shape[1]
    elif isinstance(part, _NormBase):
        held = next((held for held in (weight, part._buffers.get("running_mean")) if held is not None), None)
        if held is not None:
            yield "num_features", held.shape[0]
    elif isinstance(part, nn.GroupNorm) and weight is not None:
        yield "num_channels", weight.shape[0]
    elif weight is None or weight.ndim < 2:
        return
    elif isinstance(part, _ConvNd):
        names = (
            ("in_channels", "out_channels") if isinstance(part, _ConvTransposeNd) else ("out_channels", "in_channels")
        )
        yield from zip(names, (weight.shape[0], weight.shape[1] * part.groups), strict=True)
    elif isinstance(part, nn.Linear):
        yield "out_features", weight.shape[0]
        yield "in_features", weight.shape[1]
    elif isinstance(part, nn.Bilinear):
        yield from zip(("out_features", "in1_features", "in2_features"), weight.shape, strict=True)
    elif isinstance(part, (nn.Embedding, nn.EmbeddingBag)):
        yield from zip(("num_embeddings", "embedding_dim"), weight.shape, strict=True)


def _attention(part: nn.MultiheadAttention) -> Iterator[tuple[str, int]]:
    width = part.out_proj.weight.shape[0]
    yield "embed_dim", width
    yield "head_dim", width // part.num_heads
    for name, weight in (("kdim", part.k_proj_weight), ("vdim", part.v_proj_weight)):
        yield name, width if weight is None else weight.shape[1]
