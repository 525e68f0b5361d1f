"""Torch-Pruning's rungs, by one plain protocol for every network.

``MagnitudePruner`` with ``GroupMagnitudeImportance(p=2)``, half of the channels of every layer, widths rounded to
multiples of 8, one step. The layers that make the outputs are ignored; they are found from the gradients, as the last
convolutions and linear layers before each output. Batch 2 at the recorded input size; a detector is its backbone.

The first column gives it nothing else. The second one (``torch-pruning-heads``) also hands over what its own examples
do: the numbers of heads, read from the ``num_heads`` attribute of modules that hold ``qkv``, or ``q`` with ``k``, ``v``
or ``kv``, and of ``nn.MultiheadAttention``; afterwards the attributes ``head_dim``, ``attn_dim`` and ``hidden_dim`` are
set to the new widths, and timm's fused attention is off.

"stepped" asks that a fifth of the parameters went; "forward" that all outputs have the shapes they had. The pruned
module is then pickled, and captured and exported by this project's exporter, judged by the same rule as the other
column.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import nn

from benchmarks.ladder.climbing import Climber, Unreached, backward, outputs_of
from benchmarks.ladder.compress_column import compiled, onnx_figures
from benchmarks.ladder.fresh import freshly
from benchmarks.ladder.references import submodule
from benchmarks.ladder.rows import Row

RATIO = 0.5
ROUND_TO = 8
LEAST_REMOVED = 0.2


class TorchPruning(Climber):
    """graph built, step taken, forward, backward, pickled and loaded, exported, compiled."""

    rungs: ClassVar[tuple[str, ...]] = ("built", "stepped", "forward", "backward", "reloaded", "onnx", "tensorrt")
    with_heads: ClassVar[bool] = False
    _pruner: Any = None
    _stepped = False
    _runs = False

    def describe(self) -> Row:
        """The part of a detector that is pruned."""
        return {"submodule": submodule(self.ref)}

    def built(self) -> Row:
        """The dependency graph is built."""
        import torch_pruning as tp

        import models

        reference = models.load_reference(self.ref)
        part = submodule(self.ref)
        self._module = (reference.module.get_submodule(part) if part else reference.module).eval()
        if self.with_heads:
            _unfuse(self._module)
        self._inputs = _inputs(reference)
        outputs = outputs_of(self._module(*self._inputs))
        self._shapes = [tuple(part.shape) for part in outputs]
        self._before = tp.utils.count_ops_and_params(self._module, self._example())
        warnings.simplefilter("ignore")
        self._pruner = tp.pruner.MagnitudePruner(
            self._module,
            self._example(),
            importance=tp.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=RATIO,
            round_to=ROUND_TO,
            ignored_layers=list(output_layers(self._module, outputs)),
            num_heads=dict(_heads(self._module)) if self.with_heads else {},
            output_transform=lambda value: sum(part.sum() for part in outputs_of(value)),
        )
        return {"dense_macs": self._before[0], "dense_params": self._before[1]}

    def stepped(self) -> Row:
        """One step removes parameters."""
        if self._pruner is None:
            raise Unreached
        self._pruner.step()
        if self.with_heads:
            _mend_widths(self._module, self._pruner.num_heads)
        self._stepped = True
        params = sum(parameter.numel() for parameter in self._module.parameters()) / self._before[1]
        if params > 1 - LEAST_REMOVED:
            raise RuntimeError(f"{params:.3f} of the parameters are left")
        return {"params": params}

    def forward(self) -> Row:
        """The pruned module runs, and its outputs have the shapes they had."""
        import torch_pruning as tp

        if not self._stepped:
            raise Unreached
        with torch.no_grad():
            shapes = [tuple(part.shape) for part in outputs_of(self._module(*self._inputs))]
        if shapes != self._shapes:
            raise RuntimeError(f"outputs of {shapes} instead of {self._shapes}")
        self._runs = True
        return {"macs": tp.utils.count_ops_and_params(self._module, self._example())[0] / self._before[0]}

    def backward(self) -> Row:
        """A training step's forward and backward run."""
        self._need_running()
        try:
            backward(outputs_of(self._module.train()(*self._inputs)))
        finally:
            self._module.zero_grad()
            self._module.eval()
        return {}

    def reloaded(self) -> Row:
        """A fresh process unpickles the module, and it computes the same."""
        self._need_running()
        path = self.folder / "small.pt"
        with torch.no_grad():
            outputs = outputs_of(self._module(*self._inputs))
        torch.save((self._module, self._inputs, outputs), path)
        if not freshly(_computes_the_same, str(path)):
            raise RuntimeError("the outputs differ")
        return {"file_bytes": path.stat().st_size}

    def onnx(self) -> Row:
        """The ONNX file's outputs in ONNX Runtime, against the module in float64, batch norms calibrated."""
        import compress
        import exporters
        from benchmarks.ladder.settling import settled

        self._need_running()
        program = compress.capture(_Evaluating(self._module), self._inputs)
        artifact = exporters.to_onnx(settled(program), self.folder / "small.onnx")
        return {"onnx_nodes": artifact.metadata["nodes"], **onnx_figures(artifact.verification)}

    def tensorrt(self) -> Row:
        """TensorRT for RTX parses the ONNX file and compiles it ahead of time; nothing is executed."""
        return compiled(self)

    def _example(self) -> Any:
        return self._inputs[0] if len(self._inputs) == 1 else list(self._inputs)

    def _need_running(self) -> None:
        if not self._runs:
            raise Unreached


class _Evaluating(nn.Module):
    """Stays in evaluation mode: what a network has in training alone must not keep it from being deployed."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module.eval()

    def train(self, mode: bool = True) -> Self:
        return super().train(mode=False)

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self.module(*inputs)


class TorchPruningWithHeads(TorchPruning):
    """The same, with the heads handed over."""

    with_heads: ClassVar[bool] = True


def _computes_the_same(path: str) -> bool:
    import models

    models.torchvision_shim.ensure()
    module, inputs, outputs = torch.load(path, weights_only=False)
    with torch.no_grad():
        found = outputs_of(module(*inputs))
    return all(torch.equal(*pair) for pair in zip(found, outputs, strict=True))


def _inputs(reference: Any) -> tuple[torch.Tensor, ...]:
    if reference.example_inputs is not None:
        return tuple(reference.example_inputs)
    generator = torch.Generator().manual_seed(0)
    return (torch.randn((2, *reference.default_input), generator=generator),)


def output_layers(module: nn.Module, outputs: Sequence[torch.Tensor]) -> Iterator[nn.Module]:
    """The convolutions and linear layers from which an output is reached without passing another one."""
    owners = {
        layer.weight: layer
        for layer in module.modules()
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear)
    }
    waiting = [part.grad_fn for part in outputs if part.grad_fn is not None]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        before = [found for found, _ in node.next_functions if found is not None]
        layers = [owners[weight] for weight in map(_weight, before) if weight in owners]
        yield from layers
        if not layers:
            waiting += [found for found in before if found not in seen]
            seen.update(before)


def _weight(node: Any) -> Any:
    """The parameter that a node of the gradient's graph accumulates into, seen through a transposition."""
    if node.name() in ("TBackward0", "TransposeBackward0", "PermuteBackward0"):
        node = node.next_functions[0][0]
    return getattr(node, "variable", None)


def _heads(module: nn.Module) -> Iterator[tuple[nn.Module, int]]:
    part: Any
    for part in module.modules():
        count = getattr(part, "num_heads", None)
        if not isinstance(count, int):
            continue
        if isinstance(part, nn.MultiheadAttention):
            yield part, count
        elif isinstance(getattr(part, "qkv", None), nn.Linear):
            yield part.qkv, count
        elif isinstance(getattr(part, "q", None), nn.Linear):
            yield from ((getattr(part, name), count) for name in ("q", "k", "v", "kv") if _is_linear(part, name))


def _is_linear(part: nn.Module, name: str) -> bool:
    return isinstance(getattr(part, name, None), nn.Linear)


def _unfuse(module: nn.Module) -> None:
    part: Any
    for part in module.modules():
        if isinstance(getattr(part, "fused_attn", None), bool):
            part.fused_attn = False


def _mend_widths(module: nn.Module, heads: dict[nn.Module, int]) -> None:
    """Set the attributes in which attention modules keep their widths, as Torch-Pruning's examples do by hand."""
    part: Any
    for part in module.modules():
        query: Any
        query, share = (part.qkv, 3) if _is_linear(part, "qkv") else (getattr(part, "q", None), 1)
        if isinstance(getattr(part, "num_heads", None), int) and isinstance(query, nn.Linear):
            part.num_heads = heads.get(query, part.num_heads)
            part.head_dim = query.out_features // (share * part.num_heads)
            if hasattr(part, "attn_dim"):
                part.attn_dim = part.num_heads * part.head_dim
        if hasattr(part, "hidden_dim") and isinstance(getattr(part, "conv_proj", None), nn.Conv2d):
            part.hidden_dim = part.conv_proj.out_channels


__all__ = ["TorchPruning", "TorchPruningWithHeads", "output_layers"]
