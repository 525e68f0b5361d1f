"""The layers whose weights can be masked, and which of them stay dense unless one asks for them."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import fx

from compress.counting import CONVOLUTIONS, LINEAR, TRANSPOSED, layer_name, node_macs, weight_name
from compress.errors import PlanError
from compress.program import Program
from compress.shapes import Shapes, shapes_of
from compress.sparsity.excitation import squeeze_and_excite
from compress.sparsity.layout import Layout
from compress.sparsity.patterns import Pattern

STEM, DEPTHWISE, SQUEEZE, LAST = "stem", "depthwise", "squeeze-and-excite", "last layer"
_GROUPS_AT = 6  # the position of ``groups`` among the arguments of convolutions, transposed ones too


@dataclass(frozen=True)
class MaskableLayer:
    """A convolution or linear layer with a weight of its own.

    Attributes:
        name: as reports call it; ``weight``: the parameter's name.
        shape: of the weight.
        macs: multiply-accumulates of all its calls at batch 1.
        part: ``stem`` (a convolution that reads the network's input), ``depthwise``, ``squeeze-and-excite``,
            ``last layer`` (the last before an output) or None: the others stay dense unless asked for.
    """

    name: str
    kind: str
    weight: str
    shape: tuple[int, ...]
    layout: Layout
    macs: int
    part: str | None


@dataclass(frozen=True)
class Selection:
    """Layers to be masked, and the reason, by name, why others stay dense."""

    chosen: tuple[MaskableLayer, ...]
    dense: Mapping[str, str]


def maskable_layers(program: Program) -> list[MaskableLayer]:
    """Every layer of the evaluation graph whose weight is multiplied with and used for nothing else, in graph order."""
    parameters, tensors, graph = program.parameter_names, program.tensors, program.graphs[False]
    shapes = shapes_of(graph, tensors, program.input_shapes(batch=1))
    read_otherwise = _read_otherwise(program)
    nodes: dict[str, list[fx.Node]] = {}
    for node in graph.nodes:
        weight = weight_name(node)
        owner = program.tied.get(weight, weight) if weight is not None else None
        if owner in parameters and owner not in read_otherwise and tensors[owner].ndim >= 2:
            nodes.setdefault(owner, []).append(node)
    kinds = {STEM: _stems(graph, shapes), LAST: _last(graph), SQUEEZE: squeeze_and_excite(graph, shapes)}
    found = []
    for weight, calls in nodes.items():
        layouts = {_layout(node) for node in calls}
        if len(layouts) > 1:
            continue
        layout = layouts.pop()
        shape = tuple(tensors[weight].shape)
        part = next((kind for kind, members in kinds.items() if members.intersection(calls)), None)
        found.append(
            MaskableLayer(
                name=layer_name(calls[0]),
                kind=str(calls[0].target).split(".")[1],
                weight=weight,
                shape=shape,
                layout=layout,
                macs=sum(node_macs(node, shapes) or 0 for node in calls),
                part=part or (DEPTHWISE if layout.groups > 1 and shape[1] == 1 else None),
            )
        )
    return found


def select(
    layers: Sequence[MaskableLayer],
    dense: Iterable[str] = (),
    mask: Iterable[str] = (),
    pattern: Pattern | None = None,
) -> Selection:
    """Choose the layers to be masked: those that are no ``part``, less ``dense``, and those of ``mask``.

    Args:
        dense: patterns of layer names that stay dense.
        mask: patterns of layer names that are masked although they are stem, depthwise, squeeze-and-excite or last,
            or do not fit the pattern.
        pattern: of the zeros; layers that it says it does not fit stay dense, too.

    Raises:
        PlanError: a pattern matches no layer, a layer matches both, or no layer is left.
    """
    left_out, taken = _matched(layers, dense, "--dense"), _matched(layers, mask, "--mask")
    both = sorted(set(left_out) & set(taken))
    if both:
        raise PlanError(
            f"{both[0]} is to stay dense ({left_out[both[0]]}) and to be masked ({taken[both[0]]})",
            hint="leave one of the two out",
        )
    reasons = {layer.name: why for layer in layers if (why := _why_dense(layer, pattern)) and layer.name not in taken}
    reasons |= left_out
    chosen = tuple(layer for layer in layers if layer.name not in reasons)
    if not chosen:
        raise PlanError(
            "no layer is left to be masked" if layers else "the network has no convolution or linear layer to mask",
            hint=f"--mask PATTERN takes in what stays dense by itself: {', '.join(sorted(reasons)[:3])}"
            if reasons
            else None,
        )
    return Selection(chosen, reasons)


def _why_dense(layer: MaskableLayer, pattern: Pattern | None) -> str | None:
    """The reason why a layer stays dense by itself, if it does."""
    if layer.part is not None or pattern is None:
        return layer.part
    inputs = layer.shape[0] // layer.layout.groups if layer.layout.transposed else layer.shape[1]
    return pattern.unfit(inputs)


def _matched(layers: Sequence[MaskableLayer], patterns: Iterable[str], option: str) -> dict[str, str]:
    names = [layer.name for layer in layers]
    found: dict[str, str] = {}
    for pattern in patterns:
        matching = [name for name in names if fnmatch.fnmatchcase(name, pattern)]
        if not matching:
            near = difflib.get_close_matches(pattern, names, n=3, cutoff=0.4) or names[:3]
            raise PlanError(
                f"{option} {pattern!r} matches no layer",
                hint=f"layers are named like {', '.join(near)}; * matches anything",
            )
        found |= {name: f"{option} {pattern}" for name in matching if name not in found}
    return found


def _read_otherwise(program: Program) -> set[str]:
    """Parameters that some node of either graph reads in another way than a layer reads its weight."""
    found = set()
    for graph in program.graphs.values():
        for node in graph.nodes:
            if node.op == "get_attr" and any(
                weight_name(user) != node.target or user.args.count(node) > 1 for user in node.users
            ):
                found.add(program.tied.get(str(node.target), str(node.target)))
    return found


def _layout(node: fx.Node) -> Layout:
    if node.target in LINEAR:
        return Layout()
    given = node.args[_GROUPS_AT] if len(node.args) > _GROUPS_AT else node.kwargs.get("groups", 1)
    assert isinstance(given, int)
    return Layout(given, node.target in TRANSPOSED)


def _multiplies(node: fx.Node) -> bool:
    return node.target in CONVOLUTIONS | TRANSPOSED | LINEAR


def _stems(graph: fx.Graph, shapes: Shapes) -> set[fx.Node]:
    """Convolutions that an input reaches without passing through another layer. Sizes read off an input do not
    count.
    """
    reached: set[fx.Node] = set()
    found = set()
    for node in graph.nodes:
        if node.op == "placeholder":
            reached.add(node)
        elif node.op == "call_function" and isinstance(shapes[node], tuple | list):
            if _multiplies(node):
                if node.args[0] in reached and node.target not in LINEAR:
                    found.add(node)
            elif reached.intersection(node.all_input_nodes):
                reached.add(node)
    return found


def _last(graph: fx.Graph) -> set[fx.Node]:
    """For each output the last layer in graph order that reaches it without passing through another."""
    order = {node: number for number, node in enumerate(graph.nodes)}
    output = next(node for node in graph.nodes if node.op == "output")
    found = set()
    for leaf in output.all_input_nodes:
        waiting, seen, ends = [leaf], {leaf}, []
        while waiting:
            node = waiting.pop()
            if _multiplies(node):
                ends.append(node)
                continue
            fresh = [one for one in node.all_input_nodes if one not in seen]
            seen.update(fresh)
            waiting += fresh
        if ends:
            found.add(max(ends, key=lambda node: order[node]))
    return found
