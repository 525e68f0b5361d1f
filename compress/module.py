"""The ``nn.Module`` face of a Program: one parameter tree, two generated forward functions, working train() and
eval().
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn

from compress.shapes import copy_graph

if TYPE_CHECKING:
    from compress.masks import MaskStore


class ProgramModule(nn.Module):
    """Runs the training graph in training mode and the evaluation graph in evaluation mode, over the same parameters.

    Parameter and buffer names are those of the captured network. Calling returns a tensor where the network returns
    one, else a plain tuple (main output first; auxiliary heads may add outputs in training mode only).

    Masked weights pass through their masks in training mode, so that no gradient reaches what is zero: any loop of the
    user's own, and a deep copy of the module too, leaves the zeros where they are.
    """

    def __init__(
        self, graphs: Mapping[bool, fx.Graph], masks: MaskStore | None = None, tied: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        self._masks = masks or None
        graphs = {
            mode: _masked(graph, masks, tied or {}) if mode and masks else graph for mode, graph in graphs.items()
        }
        self._forwards = {training: compile_forward(graph) for training, graph in graphs.items()}

    def forward(self, *inputs: torch.Tensor) -> Any:
        """Run the graph of the present mode on tensors of the captured shapes (any batch size)."""
        outputs = self._forwards[self.training](self, *inputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> ProgramModule:
        """The masks go where the weights go."""
        super()._apply(fn, recurse)
        if self._masks is not None:
            self._masks.move(fn)
        return self


def _masked(graph: fx.Graph, masks: MaskStore, tied: Mapping[str, str]) -> fx.Graph:
    """A copy of ``graph`` in which each masked weight is multiplied by its mask before anything reads it."""
    copied = copy_graph(graph)
    for node in [node for node in copied.nodes if node.op == "get_attr"]:
        slot = masks.slot(tied.get(str(node.target), str(node.target)))
        if slot is None:
            continue
        readers = list(node.users)
        with copied.inserting_after(node):
            mask = copied.create_node("get_attr", f"_masks.slots.{slot}")
        with copied.inserting_after(mask):
            product = copied.call_function(operator.mul, (node, mask))
        for reader in readers:
            reader.replace_input_with(node, product)
    return copied


def compile_forward(graph: fx.Graph) -> Callable[..., tuple[torch.Tensor, ...]]:
    """Return a function ``(root, *inputs) -> tuple`` that runs ``graph`` on the tensors found under ``root``."""
    code = graph.python_code("self")
    namespace: dict[str, Any] = dict(code.globals)
    exec(compile(code.src, "<compress program>", "exec"), namespace)
    forward: Callable[..., tuple[torch.Tensor, ...]] = namespace["forward"]
    return forward


def plant(root: nn.Module, name: str, tensor: torch.Tensor, *, persistent: bool = True) -> None:
    """Register ``tensor`` at the dotted ``name`` under ``root``, making the modules on the way."""
    *path, leaf = name.split(".")
    holder = root
    for part in path:
        if part not in holder._modules:
            holder.add_module(part, nn.Module())
        child = holder._modules[part]
        assert child is not None
        holder = child
    if isinstance(tensor, nn.Parameter):
        holder.register_parameter(leaf, tensor)
    else:
        holder.register_buffer(leaf, tensor, persistent=persistent)
