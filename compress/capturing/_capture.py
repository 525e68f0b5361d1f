"""Capture a live module: training and evaluation graph, each exported from a deep copy, sharing parameters by name."""

from __future__ import annotations

import contextlib
import copy
import io
import keyword
import logging
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import fx, nn
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from compress.capturing._batch import refuse_batch_dependence
from compress.capturing._normalise import normalise
from compress.capturing._stage import Progress, Stage
from compress.capturing._unlift import adopt_constants, name_owners, plain_graph, tied_names
from compress.errors import CaptureError
from compress.program import Program, TensorSpec, open_dimensions


def capture(
    module: nn.Module,
    example: Sequence[Any],
    *,
    dynamic_size: bool = False,
    input_names: Sequence[str] | None = None,
    time_limit: float | None = None,
    progress: Progress | None = None,
) -> Program:
    """Capture ``module`` as a :class:`~compress.Program`.

    Args:
        module: any network that ``torch.export`` can trace. It is not changed.
        example: positional example inputs; dimension 0 of every tensor is the batch. A batch of 1 is doubled, since
            exporting with 1 would pin it.
        dynamic_size: leave height and width (dimensions 2 and 3) open as well.
        input_names: names for the inputs, one per tensor; the names of ``forward``'s arguments by default.
        time_limit: seconds after which the capture is given up; None for no limit. A network's Python code may loop for
            ever, or unroll into more operators than anyone can wait for. Only Python can be interrupted: a single call
            into compiled code has to return first.
        progress: called with what is being done now (``tracing the evaluation graph``).

    Raises:
        CaptureError: the network cannot be traced in training or in evaluation mode, an input has no batch, or the time
            limit passed: the message names the layer and source line where it was.
    """
    stage = Stage(progress)
    return stage.limited(
        lambda: _capture(module, example, stage, dynamic_size=dynamic_size, input_names=input_names),
        module,
        time_limit,
    )


def _capture(
    module: nn.Module,
    example: Sequence[Any],
    stage: Stage,
    *,
    dynamic_size: bool,
    input_names: Sequence[str] | None,
) -> Program:
    inputs = _checked(example)
    _refuse_keywords(module)
    _refuse_taken(module)
    # The output structure and the names come from the evaluation graph: it is what is deployed.
    evaluation = _export(module, inputs, stage, training=False, dynamic_size=dynamic_size)
    training = _export(module, inputs, stage, training=True, dynamic_size=dynamic_size)
    stage.enter("writing out both graphs")
    state = _state(module)
    tied = tied_names(state)
    tensors = {name: value.detach().clone() for name, value in state.items()}
    graphs: dict[bool, fx.Graph] = {}
    for mode, exported in ((False, evaluation), (True, training)):
        unlifted = exported.module()
        if not mode:
            refuse_batch_dependence(copy.deepcopy(module).eval(), unlifted, inputs)
        graph = plain_graph(unlifted)
        adopt_constants(graph, unlifted, tensors, prefix="train_" if mode else "")
        graphs[mode] = graph
        name_owners(graph, tied)
    _rename_inputs(graphs, input_names)
    normalise(graphs, tensors)
    transient = _transient(module, tensors)
    for name in _idle(graphs, tied, transient):
        del tensors[name]
        tied.pop(name, None)
    return Program(
        graphs=graphs,
        tensors=tensors,
        parameters=_trainable(module),
        transient=transient & set(tensors),
        tied=tied,
        inputs=_input_specs(graphs[False], inputs),
        output_names=output_names(evaluation),
        dynamic_size=dynamic_size,
    )


def _idle(graphs: Mapping[bool, fx.Graph], tied: Mapping[str, str], transient: Iterable[str]) -> list[str]:
    """Tensors that no graph uses and no state dict has, such as a table that forward computes anew."""
    used = {node.target for graph in graphs.values() for node in graph.nodes if node.op == "get_attr"}
    shared = {owner for name, owner in tied.items() if name not in transient}
    return [name for name in transient if tied.get(name, name) not in used | shared]


def _checked(example: Any) -> tuple[torch.Tensor, ...]:
    if not isinstance(example, (tuple, list)) or not example:
        raise CaptureError("the example inputs are not a tuple of tensors", hint="write capture(module, (example,))")
    inputs = tuple(example)
    for position, value in enumerate(inputs):
        if not isinstance(value, torch.Tensor) or value.ndim == 0:
            raise CaptureError(
                f"example input {position} is {type(value).__name__}, not a tensor with a batch dimension",
                hint="give every input as a tensor whose dimension 0 is the batch",
            )
    if len({value.shape[0] for value in inputs}) > 1:
        raise CaptureError("the example inputs disagree on the batch size", hint="give all inputs the same dimension 0")
    return tuple(value.repeat(2, *[1] * (value.ndim - 1)) if value.shape[0] == 1 else value for value in inputs)


def _refuse_keywords(module: nn.Module) -> None:
    """Tensor names become attributes in generated source, where a Python keyword is a syntax error, and strings in it,
    which a quotation mark would end.
    """
    for name in _state(module):
        if not name.isprintable() or set(name) & set('"\\'):
            raise CaptureError(
                f"{name!r} contains a character that a graph cannot spell",
                hint="name modules and parameters without quotation marks, backslashes and control characters",
            )
        word = next((part for part in name.split(".") if keyword.iskeyword(part)), None)
        if word is not None:
            raise CaptureError(
                f"{name!r} contains the Python keyword {word!r}, which a graph cannot spell",
                hint=f"rename the module or parameter {word!r}",
            )


def _refuse_taken(module: nn.Module) -> None:
    """An exported network is a graph module, whose own attributes the network's parts must not cover up."""
    taken = {"meta", *set(dir(fx.GraphModule)) - set(dir(nn.Module))}
    for name in sorted({name.partition(".")[0] for name in _state(module)} & taken):
        raise CaptureError(
            f"a part of the network is named {name!r}, which torch.export uses itself",
            hint=f"rename it: self.{name} = ... cannot be captured",
        )


def _export(
    module: nn.Module, inputs: tuple[torch.Tensor, ...], stage: Stage, *, training: bool, dynamic_size: bool
) -> ExportedProgram:
    clone = copy.deepcopy(module).train(training)
    stage.enter(f"tracing the {'training' if training else 'evaluation'} graph", clone)
    shapes = tuple(open_dimensions(value.ndim, dynamic_size=dynamic_size) for value in inputs)
    mode = "training" if training else "evaluation"
    silent = io.StringIO()  # torch prints the whole graph before it raises
    with warnings.catch_warnings(), _Quiet("torch.export", "torch._export", "torch.fx", "torch._subclasses"):
        warnings.simplefilter("ignore")
        try:
            with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
                return torch.export.export(clone, inputs, dynamic_shapes=_for_signature(clone, shapes))
        except RecursionError as error:
            raise CaptureError(f"{type(module).__name__} is nested too deeply to be traced in {mode} mode") from error
        except Exception as error:  # torch.export raises many unrelated types for a network that it cannot trace
            first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            cause = f"{type(error).__name__}: {first.strip()[:300]}"
            place = stage.raised_in(error)
            raise CaptureError(
                f"torch.export cannot trace {type(module).__name__} in {mode} mode{f', in {place}' if place else ''} "
                f"({cause})",
                hint="check the input size (--input-size), and that the code spells no batch size out and takes no "
                "decision by values; or capture a part of it (such as --submodule backbone)",
            ) from error


def _for_signature(module: nn.Module, shapes: tuple[dict[int, Any], ...]) -> tuple[Any, ...]:
    """A forward that takes ``*args`` wants its shapes nested once more."""
    import inspect

    kinds = [parameter.kind for parameter in inspect.signature(module.forward).parameters.values()]
    return (shapes,) if kinds and kinds[0] is inspect.Parameter.VAR_POSITIONAL else shapes


class _Quiet:
    """Hold back the exporter's own log lines: what matters reaches the user as an error."""

    def __init__(self, *names: str) -> None:
        self._loggers = [logging.getLogger(name) for name in names]

    def __enter__(self) -> None:
        self._levels = [logger.level for logger in self._loggers]
        for logger in self._loggers:
            logger.setLevel(logging.CRITICAL)

    def __exit__(self, *_: object) -> None:
        for logger, level in zip(self._loggers, self._levels, strict=True):
            logger.setLevel(level)


def _state(module: nn.Module) -> dict[str, torch.Tensor]:
    named: dict[str, torch.Tensor] = dict(module.named_parameters(remove_duplicate=False))
    named.update(module.named_buffers(remove_duplicate=False))
    return named


def _trainable(module: nn.Module) -> dict[str, bool]:
    return {name: value.requires_grad for name, value in module.named_parameters(remove_duplicate=False)}


def _transient(module: nn.Module, tensors: dict[str, torch.Tensor]) -> set[str]:
    """Buffers that the module's own state dict leaves out; constants lifted from the code are among them."""
    return set(tensors) - set(module.state_dict(keep_vars=True))


def _rename_inputs(graphs: dict[bool, fx.Graph], names: Sequence[str] | None) -> None:
    holders = {mode: [node for node in graph.nodes if node.op == "placeholder"] for mode, graph in graphs.items()}
    wanted = list(names) if names is not None else [str(node.target) for node in holders[False]]
    if len(wanted) != len(holders[False]):
        raise CaptureError(f"{len(wanted)} input names were given for {len(holders[False])} inputs")
    wrong = [name for name in wanted if not name.isidentifier() or keyword.iskeyword(name) or name == "self"]
    if wrong or len(set(wanted)) < len(wanted):
        raise CaptureError(f"input names {wanted} are not distinct Python names", hint="use names such as image, mask")
    for nodes in holders.values():
        for node, name in zip(nodes, wanted, strict=True):
            node.target = name
            node._rename(name)  # an operator's result may have the name already


def _input_specs(graph: fx.Graph, inputs: tuple[torch.Tensor, ...]) -> tuple[TensorSpec, ...]:
    names = [str(node.target) for node in graph.nodes if node.op == "placeholder"]
    return tuple(
        TensorSpec(name, (1, *value.shape[1:]), str(value.dtype).removeprefix("torch."))
        for name, value in zip(names, inputs, strict=True)
    )


def output_names(exported: ExportedProgram) -> tuple[str, ...]:
    """Names of the flattened outputs that are tensors: dictionary keys and named-tuple fields, else ``output``,
    ``output_1`` ...
    """
    spec = exported.call_spec.out_spec
    assert spec is not None
    structure = pytree.tree_unflatten(list(exported.graph_signature.user_outputs), spec)
    leaves = [(path, leaf) for path, leaf in pytree.tree_flatten_with_path(structure)[0] if leaf is not None]
    names = []
    for index, (path, _) in enumerate(leaves):
        parts = [str(getattr(key, "key", getattr(key, "name", ""))) for key in path]
        label = "_".join(part for part in parts if part)
        names.append(label or (f"output_{index}" if index else "output"))
    return tuple(names)
