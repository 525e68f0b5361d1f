"""The scaled-down members are built of the family's blocks, grow from one to the next, and learn."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import models
from compress.errors import CompressError
from models.fbnetv3 import InvertedResidual, SqueezeExcite


def macs(module: nn.Module, shape: tuple[int, ...]) -> int:
    """Multiply-accumulates of convolutions and linear layers, from the shapes that pass through."""
    found: list[int] = []
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            part.register_forward_hook(lambda layer, _, out: found.append(out[0].numel() * layer.weight[0].numel()))
    assert module.eval()(torch.zeros(2, *shape)).shape == (2, 10)
    return sum(found)


@pytest.mark.parametrize(("family", "shape"), [("mini", (3, 32, 32)), ("digits", (1, 8, 8))])
def test_members_grow(family: str, shape: tuple[int, ...]) -> None:
    found = []
    for member in "abcd":
        reference = f"models:fbnetv3_{family}_{member}"
        assert models.default_input(reference) == shape
        module = models.create(reference)
        kinds = {type(part) for part in module.modules()}
        assert {InvertedResidual, SqueezeExcite, nn.Hardswish} <= kinds
        found.append((macs(module, shape), sum(parameter.numel() for parameter in module.parameters())))
    assert all(0.4 < small[0] / large[0] < 0.7 and small[1] < large[1] for small, large in pairwise(found))


def test_a_member_takes_other_inputs_and_classes() -> None:
    assert models.create("models:fbnetv3_mini_b?num_classes=3&in_channels=1")(torch.zeros(2, 1, 32, 32)).shape == (2, 3)
    with pytest.raises(CompressError, match="num_classes"):
        models.create("models:fbnetv3_digits_a?num_classes=0")


def test_a_small_one_learns_digits() -> None:
    torch.manual_seed(0)
    data = load_digits()
    images = ((torch.tensor(data.images, dtype=torch.float32) / 16 - 0.3053) / 0.376).unsqueeze(1)
    labels = torch.tensor(data.target)
    order = torch.randperm(len(labels))
    train, held_out = order[:1400], order[1400:]
    module = models.create("models:fbnetv3_digits_b")
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    for epoch in range(8):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * (1 - epoch / 8)
        for batch in train[torch.randperm(len(train))].split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(images[batch]), labels[batch]).backward()
            optimizer.step()
    with torch.inference_mode():
        accuracy = (module.eval()(images[held_out]).argmax(1) == labels[held_out]).double().mean().item()
    assert accuracy > 0.9, accuracy
