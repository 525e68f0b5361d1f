"""After export the zeros are exactly where the masks say, batch norm folded or not."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import compress
import exporters
from compress import Program, data
from compress.loading import create
from compress.training import reestimate_batch_norm


class Mixed(nn.Module):
    """Every kind of layer that can be masked, with and without a batch norm to fold."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.grouped, self.norm = nn.Conv2d(8, 12, 3, groups=2, bias=False), nn.BatchNorm2d(12)
        self.up, self.up_norm = nn.ConvTranspose2d(12, 8, 2, 2, bias=False), nn.BatchNorm2d(8)
        self.hidden, self.head = nn.Linear(8, 16), nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.grouped(torch.relu(self.stem(x)))))
        x = torch.relu(self.up_norm(self.up(x))).mean((2, 3))
        return self.head(torch.relu(self.hidden(x)))


def mixed() -> Program:
    torch.manual_seed(0)
    net = Mixed()
    for norm in (net.norm, net.up_norm):
        nn.init.uniform_(norm.weight, -1.5, 1.5)  # factors below zero, too
        assert norm.running_var is not None
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
    return compress.capture(net, (torch.randn(2, 3, 10, 10),))


@functools.cache
def digitsnet() -> Program:
    torch.manual_seed(0)
    program = create("models:digitsnet")
    reestimate_batch_norm(program, data.load("digits"), batches=4)
    return program


def weights_by_layer(path: Path) -> dict[str, np.ndarray]:
    """The weight of each multiplying node by its layer, as (outputs first) as in the network."""
    model = onnx.load(path)
    tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    found = {}
    for node in model.graph.node:
        if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            weight = tensors[node.input[1]]
            transposed = node.op_type == "MatMul" or any(a.name == "transB" and a.i == 0 for a in node.attribute)
            found[node.name.rpartition("/")[0]] = weight.T if transposed else weight
    return found


@pytest.mark.parametrize(("build", "pattern"), [(mixed, "unstructured"), (mixed, "4x1"), (digitsnet, "2:4")])
def test_zeros_are_exactly_where_the_masks_are(build: Callable[[], Program], pattern: str, tmp_path: Path) -> None:
    masked = compress.sparsify(build(), None if pattern == "2:4" else 0.7, pattern=pattern).program
    exporters.to_onnx(masked, tmp_path / "net.onnx")
    weights = weights_by_layer(tmp_path / "net.onnx")
    assert len(masked.masks) >= 3
    for name, mask in masked.masks.items():
        found = weights[name.removesuffix(".weight")]
        assert found.shape == tuple(mask.kept.shape)
        assert np.array_equal(found == 0, ~mask.kept.numpy())


def test_channels_first_then_masks_then_export(tmp_path: Path) -> None:
    small = compress.prune(digitsnet(), "macs=0.6").program
    masked = compress.sparsify(small, 0.8, pattern="4x1").program
    exporters.to_onnx(masked, tmp_path / "net.onnx")
    weights = weights_by_layer(tmp_path / "net.onnx")
    for name, mask in masked.masks.items():
        assert np.array_equal(weights[name.removesuffix(".weight")] == 0, ~mask.kept.numpy())
        assert mask.pattern == "4x1"


def test_an_eager_module_of_a_masked_network_has_its_zeros() -> None:
    small = compress.prune(digitsnet(), "macs=0.6").program
    masked = compress.sparsify(small, 0.8, pattern="2x1").program
    state = compress.eager_module(masked).state_dict()
    for name, mask in masked.masks.items():
        assert torch.equal(state[name] == 0, ~mask.kept)


def test_masks_of_a_compact_network_hold_from_training_to_the_runtime(tmp_path: Path) -> None:
    """FB-5: zeros stay under momentum and weight decay, in a state dict, in the file, which computes the same."""
    torch.manual_seed(0)
    program = create("models:fbnetv3_mini_a")
    program = compress.sparsify(program, "macs=0.6", allocation="global", mask=["*.squeeze.*"]).program
    module = program.module(training=True)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9, weight_decay=0.1)
    for step in range(3):
        loss = module(*program.example_inputs(batch=8, seed=step)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    masks = program.masks
    assert all(torch.equal(program.tensors[name] == 0, ~mask.kept) for name, mask in masks.items())
    torch.save(program.state_dict(), tmp_path / "state.pt")
    program.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    program.save(tmp_path / "net.pt2")
    again = compress.load(tmp_path / "net.pt2")
    assert all(torch.equal(again.masks[name].kept, mask.kept) for name, mask in masks.items())
    exporters.to_onnx(again, tmp_path / "net.onnx")
    weights = weights_by_layer(tmp_path / "net.onnx")
    for name, mask in masks.items():
        assert np.count_nonzero(weights[name.removesuffix(".weight")] == 0) == mask.zeros
    inputs = again.example_inputs(batch=4, seed=9)
    with torch.inference_mode():
        wanted = again.module()(*inputs)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: inputs[0].numpy()})
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4, rtol=0)
