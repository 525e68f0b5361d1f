"""The ``nn.Module`` face of a Program: one parameter tree, two generated forward functions, working train() and
eval().
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import fx, nn


class ProgramModule(nn.Module):
    """Runs the training graph in training mode and the evaluation graph in evaluation mode, over the same parameters.

    Parameter and buffer names are those of the captured network. Calling returns a tensor where the network returns
    one, else a plain tuple (main output first; auxiliary heads may add outputs in training mode only).
    """

    def __init__(self, graphs: Mapping[bool, fx.Graph]) -> None:
        super().__init__()
        self._forwards = {training: compile_forward(graph) for training, graph in graphs.items()}

    def forward(self, *inputs: torch.Tensor) -> Any:
        """Run the graph of the present mode on tensors of the captured shapes (any batch size)."""
        outputs = self._forwards[self.training](self, *inputs)
        return outputs[0] if len(outputs) == 1 else outputs


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
