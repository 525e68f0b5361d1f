"""``Plan.apply_to``: the user's own module becomes the pruned network, or stays exactly as it was."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import compress
from compress import Plan
from compress.errors import EagerError, PlanError
from tests.compress.networks import Classifier, Heads, Tied, TwoInputs, image


class Attention(nn.Module):
    """Attention as people write it: a fused projection, head count and head width as attributes."""

    def __init__(self, dim: int = 24, heads: int = 3, *, fused: bool = True) -> None:
        super().__init__()
        self.num_heads = heads
        self.head_dim = dim // heads
        self.inner_dim = dim
        self.scale = self.head_dim**-0.5
        self.fused = fused
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, _ = x.shape
        q, k, v = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        if self.fused:
            y = F.scaled_dot_product_attention(q, k, v)
        else:
            y = ((q * self.scale) @ k.transpose(-2, -1)).softmax(-1) @ v
        result: torch.Tensor = self.proj(y.transpose(1, 2).reshape(batch, tokens, self.inner_dim))
        return result


class Transformer(nn.Module):
    """A block of attention between normalisations."""

    def __init__(self, dim: int = 24, *, fused: bool = True) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, dim, 4, 4)
        self.norm = nn.LayerNorm(dim)
        self.attention = Attention(dim, fused=fused)
        self.head = nn.Linear(dim, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        result: torch.Tensor = self.head((x + self.attention(self.norm(x))).mean(1))
        return result


class Grouped(nn.Module):
    """Depthwise convolution, group normalisation, split by a list of sizes, a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.norm = nn.GroupNorm(4, 16)
        self.sizes = [10, 6]
        self.left = nn.Conv2d(10, 8, 1)
        self.right = nn.Conv2d(6, 8, 1)
        self.up = nn.ConvTranspose2d(8, 12, 2, 2)
        self.head = nn.Conv2d(12, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.depthwise(self.stem(x))))
        a, b = x.split(self.sizes, dim=1)
        result: torch.Tensor = self.head(F.relu(self.up(self.left(a) + self.right(b))))
        return result


class Spelled(nn.Module):
    """A class that spells out its width."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.head = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.stem(x)).mean((2, 3))
        result: torch.Tensor = self.head(x.reshape(-1, 16))
        return result


class TwoMeanings(nn.Module):
    """One attribute for two widths."""

    def __init__(self) -> None:
        super().__init__()
        self.width = 16
        self.first = nn.Conv2d(3, 16, 4, 4)
        self.second = nn.Conv2d(16, 16, 1)
        self.head = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.first(x).view(-1, self.width, 4, 4))
        x = F.relu(self.second(x)).view(-1, self.width, 16)
        result: torch.Tensor = self.head(x.mean(2))
        return result


class Table(nn.Module):
    """A tensor that is a mere attribute, indexed channels, a non-persistent buffer, and one that nobody uses."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 12)
        self.gain = torch.linspace(0.5, 1.5, 12)
        self.offset: torch.Tensor
        self.register_buffer("offset", torch.linspace(-1, 1, 12), persistent=False)
        self.register_buffer("idle", torch.zeros(12), persistent=False)
        self.head = nn.Linear(12, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.head(torch.tanh(self.stem(x)) * self.gain + self.offset)
        return result


def outcome(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
    with torch.no_grad():
        found = module(*inputs)
    result: torch.Tensor = found[0] if isinstance(found, tuple) else found
    return result


def pruned(
    module: nn.Module, inputs: tuple[torch.Tensor, ...], **options: Any
) -> tuple[nn.Module, compress.PruneResult]:
    """``module`` after its plan was applied, checked against the pruned Program on ``inputs``."""
    result = compress.prune(compress.capture(module, inputs), granularity=1, **options)
    mode = module.training
    assert result.plan.apply_to(module) is module
    assert module.training is mode
    expected = outcome(result.program.module(), inputs)
    found = outcome(copy.deepcopy(module).eval(), inputs)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    shapes = {name: tensor.shape for name, tensor in result.program.state_dict().items()}
    assert {name: tensor.shape for name, tensor in module.state_dict().items()} == shapes
    return module, result


@pytest.mark.parametrize("scope", ["global", "local"])
@pytest.mark.parametrize("build", [Classifier, Heads, Tied, Grouped])
def test_convolutional_classes_become_the_pruned_network(build: type[nn.Module], scope: str) -> None:
    torch.manual_seed(0)
    module, result = pruned(build(), (image(),), scope=scope, target="params=0.6")
    assert result.report.after.params < result.report.before.params
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            assert layer.weight.shape[:2] == (layer.out_channels, layer.in_channels // layer.groups)
        elif isinstance(layer, nn.BatchNorm2d):
            assert layer.num_features == layer.weight.shape[0] == layer.running_mean.shape[0]  # type: ignore[union-attr]


@pytest.mark.parametrize("fused", [True, False])
def test_attention_keeps_its_scale_when_heads_get_narrower(fused: bool) -> None:
    torch.manual_seed(0)
    module, _ = pruned(Transformer(fused=fused), (image(),), target="ratio=0.6", scope="local")
    attention = module.attention
    assert isinstance(attention, Attention)
    assert attention.num_heads * attention.head_dim == attention.inner_dim < 24
    assert attention.scale == 8**-0.5
    norm = module.norm
    assert isinstance(norm, nn.LayerNorm)
    assert norm.normalized_shape == (module.head.in_features,)  # type: ignore[union-attr]
    assert isinstance(norm.normalized_shape, tuple)


def test_groups_and_split_sizes_follow() -> None:
    torch.manual_seed(0)
    module, _ = pruned(Grouped(), (image(),), target="ratio=0.5", scope="local")
    assert isinstance(module, Grouped)
    width = module.stem.out_channels
    assert width < 16
    assert module.depthwise.groups == width == module.norm.num_channels
    assert sum(module.sizes) == width
    assert isinstance(module.sizes, list)
    assert module.up.in_channels == module.left.out_channels
    assert module.up.out_channels == module.head.in_channels


def test_several_inputs_and_tensors_outside_the_state_dict() -> None:
    torch.manual_seed(0)
    pruned(TwoInputs(), (image(), torch.randn(2, 6)))
    module, _ = pruned(Table(), (torch.randn(2, 6),))
    assert isinstance(module, Table)
    assert module.gain.shape == module.offset.shape == (module.head.in_features,)
    assert module.head.in_features < 12


def test_ties_modes_and_gradients_stay() -> None:
    torch.manual_seed(0)
    module = Tied().eval()
    head = module.head.bias
    pruned(module, (image(),), target="params=0.6")
    assert module.second.weight is module.first.weight
    assert not module.scale.requires_grad
    assert module.first.weight.requires_grad
    assert module.head.bias is head, "what keeps its shape keeps its identity"
    module(image()).sum().backward()
    assert module.body.weight.grad is not None


def test_half_precision_modules_are_cut_in_their_type() -> None:
    module = Classifier().to(torch.bfloat16)
    plan = compress.prune(compress.capture(module, (image().to(torch.bfloat16),))).plan
    plan.apply_to(module)
    assert {weight.dtype for weight in module.parameters()} == {torch.bfloat16}


def snapshot(module: nn.Module) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            if isinstance(value, (int, float, str, tuple, list)):
                found[f"{path}.{name}"] = copy.deepcopy(value)
        for name, tensor in [*part._parameters.items(), *part._buffers.items()]:
            found[f"{path}:{name}"] = None if tensor is None else (id(tensor), tensor.detach().clone())
    return found


def same(left: dict[str, Any], right: dict[str, Any]) -> bool:
    def equal(one: Any, other: Any) -> bool:
        if isinstance(one, tuple) and len(one) == 2 and isinstance(one[1], torch.Tensor):
            return one[0] == other[0] and torch.equal(one[1], other[1])
        return bool(one == other) and type(one) is type(other)

    return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize(
    ("build", "code", "said"),
    [
        (Spelled, "x.reshape(-1, 16)", "reshape"),
        (TwoMeanings, ".view(-1, self.width", "width = 16 stands for two sizes"),
    ],
)
def test_a_spelled_out_size_is_named_and_nothing_changes(build: type[nn.Module], code: str, said: str) -> None:
    torch.manual_seed(0)
    module = build()
    before = snapshot(module)
    plan = compress.prune(compress.capture(module, (image(),)), "params=0.6", granularity=1).plan
    with pytest.raises(EagerError, match=said) as caught:
        plan.apply_to(module)
    file, _, line = str(caught.value.where).rpartition(":")
    assert file.endswith("test_applying.py")
    assert code in Path(__file__).read_text().splitlines()[int(line) - 1]
    assert "\n" not in str(caught.value)
    assert same(before, snapshot(module))


def test_a_plan_for_another_network_changes_nothing() -> None:
    module = Classifier(24)
    before = snapshot(module)
    plan = compress.prune(compress.capture(Classifier(), (image(),))).plan
    with pytest.raises(PlanError, match="the plan expects"):
        plan.apply_to(module)
    assert same(before, snapshot(module))


def test_a_plan_without_inputs_asks_for_them(tmp_path: Path) -> None:
    module = Classifier()
    plan = compress.prune(compress.capture(module, (image(),))).plan
    plan.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json").inputs == plan.inputs
    bare = Plan(plan.groups)
    with pytest.raises(PlanError, match="records no input shapes"):
        bare.apply_to(module)
    bare.apply_to(module, (image(),))
    assert module.head.in_features < 16
