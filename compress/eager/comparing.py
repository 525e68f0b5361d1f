"""Whether a module that was edited is the pruned network: its capture against the pruned graph, node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx

from compress.axes.randomise import randomised
from compress.axes.trace import aten
from compress.axes.verify import Verification, distance, outputs
from compress.blank import Blank
from compress.eager.recording import Call
from compress.eager.scales import Fold, fold, scale_of
from compress.eager.solving import leaves
from compress.errors import EagerError
from compress.program import Program
from compress.shapes import meta_values

HINT = "the class fixes this size: choose with prune(..., eager=module), which heeds that, or let the class compute it"
_SPLITS = frozenset(aten("chunk split.Tensor split.sizes split_with_sizes tensor_split.sections tensor_split.indices"))


def compare(edited: Program, small: Program, calls: Sequence[Call]) -> frozenset[Fold]:
    """Check that both graphs of ``edited`` are those of ``small``, and that both compute the same in float64.

    Args:
        edited: capture of the edited module, made while ``calls`` were recorded.
        small: the pruned Program.
        calls: by number, what the nodes of ``edited`` were made by.

    Returns:
        What has to be scaled in the module's weights, where its class derives a scale from a width.

    Raises:
        EagerError: an operator, a size or a scale differs; the error names the line.
    """
    per_mode = [_compare_graph(edited, small, mode, calls) for mode in (False, True)]
    folds = per_mode[0]
    if per_mode[1] != folds:
        raise EagerError("training and evaluation need different weights to keep the scale of attention")
    _compare_values(edited, small, folds)
    return folds


def _compare_graph(edited: Program, small: Program, mode: bool, calls: Sequence[Call]) -> frozenset[Fold]:
    graphs = edited.graphs[mode], small.graphs[mode]
    meta, wanted_meta = (
        meta_values(graph, program.tensors, program.input_shapes(batch=2))
        for graph, program in zip(graphs, (edited, small), strict=True)
    )
    places: dict[fx.Node, fx.Node] = {}
    folds: set[Fold] = set()
    found, wanted = _tensors(meta), _tensors(wanted_meta)
    for mine, theirs in zip(found, wanted, strict=False):
        places[mine] = theirs
        if mine.op != theirs.op or (mine.op == "call_function" and _kind(mine) != _kind(theirs)):
            raise _differs(mine, calls, f"runs {_name(mine)} where the pruned network runs {_name(theirs)}")
        if mine.op == "get_attr":
            _same_tensor(edited, small, mine, theirs, calls)
            continue
        if mine.op != "call_function":
            continue
        shape, wanted_shape = _shape(meta[mine]), _shape(wanted_meta[theirs])
        if shape != wanted_shape:
            raise _differs(mine, calls, f"{_name(mine)} makes {shape} where the pruned network has {wanted_shape}")
        difference = None if _kind(mine) == "split" else _difference(mine, theirs, places)
        if difference is not None:
            folds |= _folded(edited, meta, mine, theirs, calls, difference)
    if len(found) != len(wanted):
        raise EagerError(f"the edited module runs {len(found)} operators where the pruned network runs {len(wanted)}")
    return frozenset(folds)


def _difference(mine: fx.Node, theirs: fx.Node, places: Mapping[fx.Node, fx.Node]) -> str | None:
    """What differs in the arguments, None for nothing. Sizes may be spelled in two ways: the shapes are equal."""
    left, right = (list(leaves((node.args, tuple(sorted(node.kwargs.items()))))) for node in (mine, theirs))
    if len(left) != len(right):
        return f"{len(left)} arguments where the pruned network has {len(right)}"
    for one, other in zip(left, right, strict=True):
        if one in places:
            same = places[one] is other
        elif _is_size(one) and _is_size(other):
            same = True
        else:
            same = type(one) is type(other) and one == other
        if not same:
            return f"{one} where the pruned network has {other}"
    return None


def _folded(
    edited: Program,
    meta: Mapping[fx.Node, Any],
    mine: fx.Node,
    theirs: fx.Node,
    calls: Sequence[Call],
    difference: str,
) -> frozenset[Fold]:
    here, wanted = scale_of(mine), scale_of(theirs)
    if here is None or wanted is None:
        raise _differs(mine, calls, f"{_name(mine)} gets {difference}")
    folds = fold(edited, meta, mine, wanted / here)
    if folds is None:
        raise _differs(mine, calls, f"derives the scale {here:.6g} from a width that shrank (it was {wanted:.6g})")
    return folds


def _tensors(meta: Mapping[fx.Node, Any]) -> list[fx.Node]:
    """The nodes that make tensors: arithmetic on sizes may be written in many ways."""
    return [node for node, value in meta.items() if _shape(value) is not None or node.op == "output"]


def _kind(node: fx.Node) -> Any:
    """The operator; ways of writing a split (in equal parts, by sizes) are one: the shapes of the pieces decide."""
    return "split" if node.target in _SPLITS else node.target


def _shape(value: Any) -> Any:
    if isinstance(value, (Blank, torch.Tensor)):
        return tuple(value.shape)
    return [_shape(item) for item in value] if isinstance(value, (list, tuple)) else None


def _is_size(value: Any) -> bool:
    return isinstance(value, fx.Node) or (isinstance(value, int) and not isinstance(value, bool))


def _same_tensor(edited: Program, small: Program, mine: fx.Node, theirs: fx.Node, calls: Sequence[Call]) -> None:
    left, right = edited.tensors[str(mine.target)], small.tensors[str(theirs.target)]
    same = mine.target == theirs.target and left.shape == right.shape
    if not same and not (left.shape == right.shape and torch.equal(left, right)):
        user = next(iter(mine.users), mine)
        raise _differs(user, calls, f"uses {mine.target} {tuple(left.shape)}, not {theirs.target} {tuple(right.shape)}")
    if str(mine.target).startswith("constants.") and not torch.equal(left, right):
        raise _differs(next(iter(mine.users), mine), calls, f"the constant {mine.target} has other values")


def _compare_values(edited: Program, small: Program, folds: frozenset[Fold]) -> None:
    """Everything randomised, in float64: the outputs must agree to what rounding explains."""
    wide = randomised(small, seed=0).astype(torch.float64)
    shared = {name: tensor.detach().clone() for name, tensor in wide.tensors.items()}
    own = edited.astype(torch.float64)
    tensors = {name: shared.get(name, tensor) for name, tensor in own.tensors.items()}
    for item in folds:
        item.apply(tensors[item.tensor])
    copy = own.rebuilt(tensors, own.graphs, masks={})
    inputs = wide.example_inputs()
    nudged = tuple(value * (1 + 1e-12) if value.is_floating_point() else value for value in inputs)
    wanted = outputs(wide, inputs)
    error = distance(outputs(copy, inputs), wanted)
    allowed = Verification(error, error, 1.0, distance(outputs(wide, nudged), wanted) / 1e-12).allowed
    if not error <= allowed:
        raise EagerError(f"the edited module differs from the pruned network by {error:.1e} of the output (float64)")


def _name(node: fx.Node) -> str:
    return str(node.target).removeprefix("aten.") if node.op == "call_function" else node.op


def _differs(node: fx.Node, calls: Sequence[Call], what: str) -> EagerError:
    call = calls[node.meta["call"]] if "call" in node.meta else None
    line = call.line if call is not None else str(node.meta.get("source", node.name))
    layer = str(node.meta.get("layer", ""))
    return EagerError(
        f"{what}" + (f" (in {layer})" if layer else ""),
        where=line,
        hint=HINT,
    )
