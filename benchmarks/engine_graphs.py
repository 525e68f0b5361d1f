"""Large networks put down operator by operator, without capturing: chains of blocks for the speed of the engine."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import fx

from compress.program import Program, TensorSpec

_aten = torch.ops.aten
_IMAGE = (3, 16, 16)
_BLOCK = ("scale1", "shift1", "qkv", "out", "scale2", "shift2", "up", "down")
Held = Mapping[str, fx.Node]
Body = Callable[[fx.Graph, fx.Node, Held, bool], fx.Node]


def chain(blocks: int, width: int = 64) -> Program:
    """Bottleneck blocks with batch norm on one stream of ``width`` channels; the neck is half as wide."""
    shapes: dict[str, tuple[int, ...]] = {"stem": (width, 3, 3, 3)}
    for at in range(blocks):
        shapes |= {f"blocks.{at}.in": (width // 2, width, 1, 1), f"blocks.{at}.out": (width, width // 2, 1, 1)}
        shapes |= {f"blocks.{at}.{name}": (width // 2,) for name in ("scale", "shift", "mean", "variance")}
    shapes["head"] = (10, width)

    def body(graph: fx.Graph, image: fx.Node, held: Held, training: bool) -> fx.Node:
        x = graph.call_function(_aten.conv2d.default, (image, held["stem"]))
        for at in range(blocks):
            norm = [held[f"blocks.{at}.{name}"] for name in ("scale", "shift", "mean", "variance")]
            y = graph.call_function(_aten.conv2d.default, (x, held[f"blocks.{at}.in"]))
            y = graph.call_function(_aten.batch_norm.default, (y, *norm, training, 0.1, 1e-5, True))
            y = graph.call_function(_aten.relu.default, (y,))
            y = graph.call_function(_aten.conv2d.default, (y, held[f"blocks.{at}.out"]))
            x = graph.call_function(_aten.add.Tensor, (x, y))
        pooled = graph.call_function(_aten.mean.dim, (x, [2, 3]))
        return graph.call_function(_aten.linear.default, (pooled, held["head"]))

    return _program(shapes, body)


def attention(blocks: int, width: int = 64, heads: int = 4) -> Program:
    """Pre-norm transformer blocks of ``width`` features over 16 tokens."""
    shapes: dict[str, tuple[int, ...]] = {"stem": (width, 3, 4, 4), "head": (10, width)}
    for at in range(blocks):
        shapes |= {f"blocks.{at}.{name}": (width,) for name in ("scale1", "shift1", "scale2", "shift2")}
        shapes |= {f"blocks.{at}.qkv": (3 * width, width), f"blocks.{at}.out": (width, width)}
        shapes |= {f"blocks.{at}.up": (2 * width, width), f"blocks.{at}.down": (width, 2 * width)}

    def body(graph: fx.Graph, image: fx.Node, held: Held, training: bool) -> fx.Node:
        def run(target: Any, *args: Any, **kwargs: Any) -> fx.Node:
            return graph.call_function(target, args, kwargs)

        batch = run(_aten.sym_size.int, image, 0)
        x = run(_aten.conv2d.default, image, held["stem"], None, [4, 4])
        x = run(_aten.transpose.int, run(_aten.flatten.using_ints, x, 2), 1, 2)
        for at in range(blocks):
            own = {name: held[f"blocks.{at}.{name}"] for name in _BLOCK}
            y = run(_aten.layer_norm.default, x, [width], own["scale1"], own["shift1"])
            parts = run(_aten.chunk.default, run(_aten.linear.default, y, own["qkv"]), 3, -1)
            split = [
                run(_aten.view.default, run(operator.getitem, parts, part), [batch, 16, heads, width // heads])
                for part in range(3)
            ]
            seen = run(
                _aten.scaled_dot_product_attention.default,
                *(run(_aten.transpose.int, part, 1, 2) for part in split),
                scale=(width // heads) ** -0.5,
            )
            seen = run(_aten.reshape.default, run(_aten.transpose.int, seen, 1, 2), [batch, 16, width])
            x = run(_aten.add.Tensor, x, run(_aten.linear.default, seen, own["out"]))
            y = run(_aten.layer_norm.default, x, [width], own["scale2"], own["shift2"])
            y = run(_aten.relu.default, run(_aten.linear.default, y, own["up"]))
            x = run(_aten.add.Tensor, x, run(_aten.linear.default, y, own["down"]))
        return run(_aten.linear.default, run(_aten.mean.dim, x, [1]), held["head"])

    return _program(shapes, body)


def _program(shapes: Mapping[str, tuple[int, ...]], body: Body) -> Program:
    generator = torch.Generator().manual_seed(0)
    tensors = {name: torch.rand(shape, generator=generator) / max(shape) for name, shape in shapes.items()}

    def graph(training: bool) -> fx.Graph:
        made = fx.Graph()
        image = made.placeholder("image")
        image.meta["input"] = ((2, *_IMAGE), torch.float32)
        held = {name: made.get_attr(name) for name in shapes}
        made.output((body(made, image, held, training),))
        return made

    learned = [name for name in shapes if not name.endswith((".mean", ".variance"))]
    return Program(
        graphs={mode: graph(mode) for mode in (False, True)},
        tensors=tensors,
        parameters=dict.fromkeys(learned, True),
        transient=(),
        tied={},
        inputs=(TensorSpec("image", (1, *_IMAGE), "float32"),),
        output_names=("output",),
    )
