"""Which layers are masked, which stay dense and why."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import compress
from compress import Program
from compress.errors import PlanError
from compress.sparsity.layers import maskable_layers


def parts(program: Program) -> dict[str, str | None]:
    return {layer.name: layer.part for layer in maskable_layers(program)}


def test_stem_and_classifier_of_a_residual_network(resnet20: Program) -> None:
    found = parts(resnet20)
    assert {name: part for name, part in found.items() if part} == {"conv1": "stem", "linear": "last layer"}
    assert len(found) == 20


def test_depthwise_convolutions_are_told_from_other_groups() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.Conv2d(8, 16, 3, groups=8), nn.Conv2d(16, 8, 1, groups=4),
        nn.ConvTranspose2d(8, 8, 2, 2, groups=8), nn.ConvTranspose2d(8, 12, 2, 2, groups=2), nn.Conv2d(12, 4, 1),
    )  # fmt: skip
    program = compress.capture(net, (torch.randn(2, 3, 8, 8),))
    assert list(parts(program).values()) == ["stem", "depthwise", None, "depthwise", None, "last layer"]
    assert [layer.layout.groups for layer in maskable_layers(program)] == [1, 8, 4, 8, 2, 1]


class Branches(nn.Module):
    """Two convolutions read the image, two heads give outputs, one weight serves as embedding and as a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3)
        self.inner = nn.Linear(8, 8)
        self.first, self.second = nn.Linear(8, 4), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        both = (self.left(x) + self.right(x)).mean((2, 3)).view(x.size(0), -1)
        hidden = self.inner(both) * self.inner.weight.sum()
        return self.first(hidden), self.second(hidden)


def test_every_layer_that_reads_an_input_is_a_stem_and_every_head_is_last() -> None:
    program = compress.capture(Branches(), (torch.randn(2, 3, 8, 8),))
    # "inner" is read in another way too, so that its zeros would not be a layer's alone.
    assert parts(program) == {"left": "stem", "right": "stem", "first": "last layer", "second": "last layer"}
    with pytest.raises(PlanError, match="no layer is left to be masked; --mask PATTERN takes in"):
        compress.sparsify(program, 0.5)
    assert list(compress.sparsify(program, 0.5, mask=["left"]).masks) == ["left.weight"]


def test_patterns_decide_what_is_dense(digitsnet: Program) -> None:
    result = compress.sparsify(digitsnet, 0.5, dense=["stage1.*"], mask=["stem"])
    assert "stem.weight" in result.masks
    assert not any(name.startswith("stage1") for name in result.masks)
    reasons = {layer.name: layer.reason for layer in result.report.layers if layer.reason}
    assert reasons == {
        "stage1.conv1": "--dense stage1.*", "stage1.conv2": "--dense stage1.*", "classifier": "last layer",
    }  # fmt: skip


def test_patterns_that_fit_nothing_or_each_other_are_refused(digitsnet: Program) -> None:
    with pytest.raises(PlanError, match=r"--dense 'stage9\.\*' matches no layer; layers are named like"):
        compress.sparsify(digitsnet, 0.5, dense=["stage9.*"])
    with pytest.raises(PlanError, match=r"stem is to stay dense \(--dense s\?em\) and to be masked \(--mask stem\)"):
        compress.sparsify(digitsnet, 0.5, dense=["s?em"], mask=["stem"])


def test_a_tied_weight_is_one_layer() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Linear(6, 8)
            self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)
            self.two.weight = self.one.weight
            self.head = nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.two(torch.relu(self.one(torch.relu(self.stem(x))))))

    program = compress.capture(Tied(), (torch.randn(2, 6),))
    layer = next(layer for layer in maskable_layers(program) if layer.weight == "one.weight")
    assert layer.macs == 2 * 64
    masked = compress.sparsify(program, 0.5).program
    assert set(masked.masks) == {"stem.weight", "one.weight"}
    assert torch.equal(masked.tensors["two.weight"], masked.tensors["one.weight"])
