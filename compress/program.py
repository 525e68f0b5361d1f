"""The currency: a network captured as two graphs (training, evaluation) over one store of named tensors."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import fx, nn
from torch.export import Dim, ExportedProgram

from compress.graph_json import graph_to_json
from compress.info import ProgramInfo
from compress.masks import Mask, Masks, MaskStore
from compress.module import ProgramModule, plant
from compress.shapes import copy_graph, meta_values

if TYPE_CHECKING:
    from compress.axes.groups import Group
    from compress.counting import Count


class TensorSpec(NamedTuple):
    """Name, shape at batch 1 (dimension 0 is the batch) and dtype (``"float32"``) of an input or output."""

    name: str
    shape: tuple[int, ...]
    dtype: str


class Program:
    """A captured network. Make one with :func:`compress.load` or :func:`compress.capture`."""

    def __init__(
        self,
        *,
        graphs: Mapping[bool, fx.Graph],
        tensors: Mapping[str, torch.Tensor],
        parameters: Mapping[str, bool],
        transient: Iterable[str],
        tied: Mapping[str, str],
        inputs: tuple[TensorSpec, ...],
        output_names: tuple[str, ...],
        dynamic_size: bool = False,
        info: ProgramInfo | None = None,
        masks: Masks | None = None,
    ) -> None:
        """Args:
        graphs: by mode (True: training), normalised.
        tensors: every parameter, buffer and constant by name.
        parameters: names of the parameters, with whether they require a gradient.
        transient: names of buffers and constants that state dicts leave out.
        tied: further name -> first name of tensors that have several.
        inputs: the network's inputs at batch 1.
        output_names: names of the flattened outputs of the evaluation graph.
        dynamic_size: height and width of images are open, not only the batch.
        masks: by parameter, where it is zero and stays zero; see :meth:`set_masks`.
        """
        self.graphs = dict(graphs)
        self.tied = dict(tied)
        self.transient = frozenset(transient)
        self.inputs = inputs
        self.dynamic_size = dynamic_size
        self.info = info or ProgramInfo()
        self._output_names = output_names
        self._parameters = dict(parameters)
        self._parameter_names = frozenset(self._parameters)
        self._root = nn.Module()
        for name, tensor in tensors.items():
            if name not in self.tied:
                plant(self._root, name, self._as_parameter(name, tensor), persistent=name not in self.transient)
        planted = self.tensors if self.tied else {}
        for name, owner in self.tied.items():
            plant(self._root, name, planted[owner], persistent=name not in self.transient)
        self._masks = MaskStore({})
        if masks:
            self.set_masks(masks)

    def _as_parameter(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        if name not in self._parameters:
            return tensor.detach()
        return nn.Parameter(tensor.detach(), requires_grad=self._parameters[name])

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        """Every parameter, buffer and constant by name, as they are now (shared, not copied)."""
        parameters: dict[str, torch.Tensor] = {}
        buffers: dict[str, torch.Tensor] = {}
        _collect(self._root, "", parameters, buffers)
        return parameters | buffers

    @property
    def parameter_names(self) -> frozenset[str]:
        """Names of the tensors that are parameters; all others are buffers or constants."""
        return self._parameter_names

    @property
    def requires_grad(self) -> dict[str, bool]:
        """Whether each parameter is trained."""
        return dict(self._parameters)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs of the evaluation graph at batch 1."""
        graph = self.graphs[False]
        values = meta_values(graph, self.tensors, self.input_shapes(batch=1))
        leaves = [values[leaf] for leaf in next(node for node in graph.nodes if node.op == "output").args[0]]
        return tuple(
            TensorSpec(name, tuple(leaf.shape), str(leaf.dtype).removeprefix("torch."))
            for name, leaf in zip(self._output_names, leaves, strict=True)
        )

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the flattened outputs: dictionary keys and named-tuple fields where the network had them."""
        return self._output_names

    @property
    def dtype(self) -> torch.dtype:
        """The floating-point type of the weights (float32 unless :meth:`astype` changed it)."""
        tensors = itertools.chain(self._root.parameters(), self._root.buffers())
        return next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)

    def input_shapes(self, *, batch: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Shape and dtype of each input at the given batch size, by name."""
        return {spec.name: ((batch, *spec.shape[1:]), self._input_dtype(spec)) for spec in self.inputs}

    def _input_dtype(self, spec: TensorSpec) -> torch.dtype:
        dtype: torch.dtype = getattr(torch, spec.dtype)
        return self.dtype if dtype.is_floating_point else dtype

    def example_inputs(self, *, batch: int = 2, seed: int = 0) -> tuple[torch.Tensor, ...]:
        """Random inputs: normal for floating-point inputs, zeros for integer ones (indices stay in range)."""
        generator = torch.Generator().manual_seed(seed)
        made = []
        for shape, dtype in self.input_shapes(batch=batch).values():
            floating = dtype.is_floating_point
            made.append(
                torch.randn(shape, generator=generator, dtype=dtype) if floating else torch.zeros(shape, dtype=dtype)
            )
        return tuple(made)

    def module(self, training: bool = False) -> ProgramModule:
        """Return an ``nn.Module`` over this Program's own parameters: training it trains the Program.

        ``train()`` and ``eval()`` switch between the two graphs; each call returns a view with a mode of its own.
        Where there are masks, any loop keeps them: no gradient reaches what is zero.
        """
        view = ProgramModule(self.graphs, self._masks, self.tied)
        view._parameters = self._root._parameters
        view._buffers = self._root._buffers
        view._modules = self._root._modules
        view._non_persistent_buffers_set = self._root._non_persistent_buffers_set
        view.training = training
        return view

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The state dict under the captured network's names (shared tensors, no constants)."""
        return {name: tensor.detach() for name, tensor in self.tensors.items() if name not in self.transient}

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Copy ``state`` into the Program's tensors. Raises :class:`CheckpointError` when names or shapes differ."""
        from compress.checkpoints import load_into

        load_into(self.module(), dict(state), "state dict")
        self.apply_masks()

    @property
    def masks(self) -> dict[str, Mask]:
        """Where weights are zero and stay zero, by parameter name; empty for a dense network."""
        return self._masks.masks

    def set_masks(self, masks: Masks) -> None:
        """Give weights masks (an empty mapping takes them away) and set what they leave out to zero, in place.

        Modules that were made before see new masks of the same weights; for masks of other weights make them anew.

        Raises:
            ValueError: a name is no parameter's (or a further name of a tied one), or a mask has another shape.
        """
        tensors = self.tensors
        for name, mask in masks.items():
            if name not in self._parameters or name in self.tied or mask.kept.shape != tensors[name].shape:
                raise ValueError(f"a mask of shape {tuple(mask.kept.shape)} does not fit {name!r}")
        if set(masks) == set(self._masks):
            self._masks.replace(masks)
        else:
            self._masks = MaskStore(masks, next((tensors[name].device for name in masks), None))
        self.apply_masks()

    @torch.no_grad()
    def apply_masks(self) -> None:
        """Set what the masks leave out to zero again, in place: an optimiser's memory may have moved it."""
        if self._masks:
            tensors = self.tensors
            for name in self._masks:
                tensors[name].masked_fill_(~self._masks.on(name).to(tensors[name].device), 0)

    def copy(self) -> Program:
        """Return an independent Program: weights, graphs and information are copied."""
        return self.rebuilt({name: tensor.detach().clone() for name, tensor in self.tensors.items()}, self.graphs)

    def rebuilt(
        self,
        tensors: Mapping[str, torch.Tensor],
        graphs: Mapping[bool, fx.Graph],
        masks: Masks | None = None,
    ) -> Program:
        """Return a Program with these tensors and graphs, everything else as here. Ties hold by name.

        This Program's own graphs are copied; others are taken over. ``masks`` None takes this one's masks over, which
        sets what they leave out to zero in the tensors given.
        """
        own = {id(graph) for graph in self.graphs.values()}
        return Program(
            graphs={mode: copy_graph(graph) if id(graph) in own else graph for mode, graph in graphs.items()},
            tensors=tensors,
            parameters=self._parameters,
            transient=self.transient,
            tied=self.tied,
            inputs=self.inputs,
            output_names=self._output_names,
            dynamic_size=self.dynamic_size,
            info=self.info.model_copy(deep=True),
            masks=self.masks if masks is None else masks,
        )

    def astype(self, dtype: torch.dtype) -> Program:
        """Return a copy in another floating-point type; type literals in the graphs are rewritten with it."""
        from compress.capturing._normalise import retype

        present = self.dtype
        tensors = {
            name: tensor.detach().to(dtype) if tensor.is_floating_point() else tensor.detach().clone()
            for name, tensor in self.tensors.items()
        }
        return self.rebuilt(tensors, {mode: retype(graph, present, dtype) for mode, graph in self.graphs.items()})

    def count(self) -> Count:
        """Count MACs, parameters and bytes at batch 1 by the rule stated in :mod:`compress.counting`."""
        from compress.counting import count

        return count(self)

    def groups(self) -> list[Group]:
        """Every group of exchangeable channels: the widths that can shrink, and the frozen ones with their reason."""
        from compress.axes.analysis import analyse

        return analyse(self).groups

    def structure(self) -> dict[str, Any]:
        """Both graphs and all tensor shapes as JSON: equal for networks that differ only in their weights."""
        graphs = {str(mode): graph_to_json(graph) for mode, graph in sorted(self.graphs.items())}
        return {"graphs": graphs} | self._interface()

    def _interface(self) -> dict[str, Any]:
        return {
            "shapes": {name: [str(tensor.dtype), *tensor.shape] for name, tensor in sorted(self.tensors.items())},
            "inputs": [list(spec) for spec in self.inputs],
        }

    def structure_hash(self) -> str:
        """SHA-256 of names, types and shapes of all tensors and of the inputs; independent of torch's version."""
        import json

        return hashlib.sha256(json.dumps(self._interface(), sort_keys=True).encode()).hexdigest()

    def fingerprint(self) -> str:
        """SHA-256 over structure and every weight, as 64 hexadecimal digits."""
        digest = hashlib.sha256(self.structure_hash().encode())
        for name, tensor in sorted(self.tensors.items()):
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        for name, mask in sorted(self.masks.items()):
            digest.update(name.encode() + mask.kept.numpy().tobytes())
        return digest.hexdigest()

    def export_program(self) -> ExportedProgram:
        """Export the evaluation graph anew with an open batch dimension named ``batch``, and open height and width
        where they were captured so. Weights are shared.
        """
        self.apply_masks()
        root = nn.Module()
        for name, tensor in self.tensors.items():
            if name not in self.tied:
                plant(root, name, tensor, persistent=name not in self.transient)
        module = fx.GraphModule(root, unwrap_single(copy_graph(self.graphs[False])))
        for name, tensor in self.tensors.items():  # tensors of the training graph alone travel in the same archive
            if name not in self.tied and not _has(module, name):
                plant(module, name, tensor, persistent=name not in self.transient)
        module.eval()
        shapes = tuple(open_dimensions(len(spec.shape), dynamic_size=self.dynamic_size) for spec in self.inputs)
        device = next((tensor.device for tensor in self.tensors.values()), torch.device("cpu"))
        inputs = tuple(value.to(device) for value in self.example_inputs())
        return torch.export.export(module, inputs, dynamic_shapes=shapes)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write a file atomically, in the form that its ending names.

        Plain ``torch.export.load`` opens a ``.pt2``; a ``.safetensors`` needs no particular version of torch.

        Raises:
            InputError: unknown ending, folder missing, file exists and ``overwrite`` is false, or ``.safetensors``
                was asked for a network without a model reference (it could not be made again).
        """
        from compress.storing import save

        save(self, path, overwrite=overwrite)


def _collect(
    module: nn.Module, prefix: str, parameters: dict[str, torch.Tensor], buffers: dict[str, torch.Tensor]
) -> None:
    """As ``named_parameters`` and ``named_buffers`` with duplicates, in one walk and in their order."""
    for held, found in ((module._parameters, parameters), (module._buffers, buffers)):
        for name, tensor in held.items():
            if tensor is not None:
                found[prefix + name] = tensor
    for name, child in module._modules.items():
        if child is not None:
            _collect(child, f"{prefix}{name}.", parameters, buffers)


def open_dimensions(rank: int, *, dynamic_size: bool) -> dict[int, Any]:
    """What ``torch.export`` is told of an input: the batch is open; height and width of images where asked for."""
    return {0: Dim("batch")} | ({2: Dim.AUTO, 3: Dim.AUTO} if dynamic_size and rank == 4 else {})


def _has(module: nn.Module, name: str) -> bool:
    holder, _, leaf = name.rpartition(".")
    try:
        return hasattr(module.get_submodule(holder), leaf)
    except AttributeError:
        return False


def unwrap_single(graph: fx.Graph) -> fx.Graph:
    """Let a graph with one output return the tensor itself instead of a tuple of one."""
    output = next(node for node in graph.nodes if node.op == "output")
    if len(output.args[0]) == 1:
        output.args = (output.args[0][0],)
    return graph
