"""Finds squeeze-and-excite layers (Hu et al. 2018, Squeeze-and-Excitation Networks) in a graph, by what they compute.

They compute with one value for each channel, from a pooled map on, and what they come to is multiplied with a map.
"""

from __future__ import annotations

import torch
from torch import fx

from compress.counting import CONVOLUTIONS, LINEAR, TRANSPOSED
from compress.shapes import Shapes

_aten = torch.ops.aten
_PRODUCTS = {_aten.mul.Tensor, _aten.mul_.Tensor}
_SPREADS = {_aten.expand.default, _aten.expand_as.default}
_POOLS = {
    _aten.adaptive_avg_pool1d.default,
    _aten.adaptive_avg_pool2d.default,
    _aten.adaptive_avg_pool3d.default,
    _aten.adaptive_max_pool2d.default,
    _aten.mean.dim,
    _aten.amax.default,
}


def squeeze_and_excite(graph: fx.Graph, shapes: Shapes) -> set[fx.Node]:
    """Return the convolutions and linear layers between a pooled map and the factors that it is multiplied by.

    Args:
        graph: of a Program, evaluated.
        shapes: of its values at batch 1, from :func:`compress.shapes.shapes_of`.
    """
    found: set[fx.Node] = set()
    for node in graph.nodes:
        if node.target in _PRODUCTS:
            one, other = node.args[0], node.args[1]
            if isinstance(one, fx.Node) and isinstance(other, fx.Node):
                found |= _gate(one, other, shapes) | _gate(other, one, shapes)
    return found


def _gate(factors: fx.Node, scaled: fx.Node, shapes: Shapes) -> set[fx.Node]:
    """The layers that compute ``factors``; none where these are not of channels, or not from a pooled map."""
    while factors.target in _SPREADS and isinstance(factors.args[0], fx.Node):
        factors = factors.args[0]
    if not _is_by_channel(factors, shapes):
        return set()
    layers: set[fx.Node] = set()
    pooled: set[fx.Node] = set()
    waiting, seen = [factors], {factors}
    while waiting:
        node = waiting.pop()
        sources = [one for one in _sources(node) if isinstance(shapes[one], tuple)]
        if node.target in _POOLS or not all(_is_by_channel(one, shapes) for one in sources):
            pooled.update(sources)
            continue
        if _is_layer(node):
            layers.add(node)
        fresh = [one for one in sources if one not in seen]
        seen.update(fresh)
        waiting += fresh
    # A map of one position is told from a vector by being what was pooled.
    is_map = not _is_by_channel(scaled, shapes) or scaled in pooled
    return layers if pooled and is_map else set()


def _sources(node: fx.Node) -> list[fx.Node]:
    """What a node computes from, parameters aside."""
    inputs = [node.args[0]] if _is_layer(node) else node.all_input_nodes
    return [one for one in inputs if isinstance(one, fx.Node) and one.op != "get_attr"]


def _is_layer(node: fx.Node) -> bool:
    return node.target in CONVOLUTIONS | TRANSPOSED | LINEAR


def _is_by_channel(node: fx.Node, shapes: Shapes) -> bool:
    """Whether it holds one value for each channel of a sample: no more than one dimension beside the batch is wide."""
    shape = shapes[node]
    return isinstance(shape, tuple) and sum(size != 1 for size in shape[1:]) <= 1
