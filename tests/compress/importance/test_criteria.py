"""Scores worked out by hand on a network of three layers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from torch import nn
from torch.nn import functional as F

import compress
from compress import Program
from compress.axes.analysis import analyse
from compress.errors import InputError, PlanError
from compress.importance import (
    CRITERIA,
    Criterion,
    ElementCriterion,
    ScoreContext,
    SliceCriterion,
    atom_scores,
    criterion,
    register,
)
from compress.loading import create


@pytest.fixture(scope="module")
def program() -> Program:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(6)
    nn.init.uniform_(norm.weight, -1, 1)
    layers = nn.Sequential(nn.Conv2d(3, 6, 3), norm, nn.ReLU(), nn.Conv2d(6, 5, 1), nn.Flatten())
    network = nn.Sequential(layers, nn.Linear(5 * 4, 4))
    return compress.capture(network, (torch.randn(2, 3, 4, 4),))


def scores(program: Program, name: str, *, seed: int = 0, batches: object = None) -> dict[str, NDArray[np.float64]]:
    analysis = analyse(program)
    context = ScoreContext(analysis, batches, seed)  # type: ignore[arg-type]
    return atom_scores(criterion(name), context, analysis.prunable)


def test_magnitudes_are_norms_of_what_makes_and_what_reads_a_channel(program: Program) -> None:
    weights = {name: tensor.detach().double() for name, tensor in program.tensors.items()}
    makes, reads = weights["0.0.weight"].flatten(1), weights["0.3.weight"].transpose(0, 1).flatten(1)
    l1 = (makes.abs().sum(1) + reads.abs().sum(1)) / 2
    l2 = (makes.norm(dim=1) + reads.norm(dim=1)) / 2
    np.testing.assert_allclose(scores(program, "l1")["0.0"], l1.numpy(), rtol=1e-6)
    np.testing.assert_allclose(scores(program, "l2")["0.0"], l2.numpy(), rtol=1e-6)


def test_a_flattened_channel_is_scored_over_all_its_features(program: Program) -> None:
    weights = {name: tensor.detach().double() for name, tensor in program.tensors.items()}
    reads = weights["1.weight"].reshape(4, 5, 4).transpose(0, 1).flatten(1)
    l2 = (weights["0.3.weight"].flatten(1).norm(dim=1) + reads.norm(dim=1)) / 2
    np.testing.assert_allclose(scores(program, "l2")["0.3"], l2.numpy(), rtol=1e-6)


def test_batch_norm_scales_score_only_what_they_scale(program: Program) -> None:
    found = scores(program, "bn-scale")
    assert set(found) == {"0.0"}
    np.testing.assert_allclose(found["0.0"], program.tensors["0.1.weight"].detach().abs().numpy(), rtol=1e-6)


def test_taylor_is_weight_times_gradient(program: Program) -> None:
    inputs, target = program.example_inputs(batch=4), torch.arange(4)
    found = scores(program, "taylor", batches=[(inputs, target)])
    twin = program.copy()
    F.cross_entropy(twin.module()(*inputs), target).backward()

    def product(name: str) -> torch.Tensor:
        tensor = twin.tensors[name]
        assert tensor.grad is not None
        return (tensor.detach() * tensor.grad).double()

    makes, reads = product("0.0.weight").flatten(1).sum(1), product("0.3.weight").sum((0, 2, 3))
    np.testing.assert_allclose(found["0.0"], ((makes.abs() + reads.abs()) / 2).numpy(), rtol=1e-4)
    assert all(tensor.grad is None for tensor in program.tensors.values()), "scoring leaves no gradients behind"


def test_taylor_does_not_let_batches_cancel(program: Program) -> None:
    """In a trained network the mean gradient is nothing; what each batch would lose is not."""
    batches = [(program.example_inputs(batch=4, seed=seed), torch.arange(4)) for seed in range(2)]
    first, second = (scores(program, "taylor", batches=[batch])["0.0"] for batch in batches)
    both = scores(program, "taylor", batches=iter(batches))["0.0"]
    np.testing.assert_allclose(both, (first + second) / 2, rtol=1e-6)


def test_taylor_refuses_what_it_cannot_rank(program: Program) -> None:
    inputs = program.example_inputs(batch=4)
    for target in (torch.zeros(3, dtype=torch.long), torch.full((4,), 9), "labels"):
        with pytest.raises(PlanError, match="cannot compute cross-entropy") as caught:
            scores(program, "taylor", batches=[(inputs, target)])
        assert "\n" not in str(caught.value)
    still = compress.capture(nn.Linear(4, 4).requires_grad_(False), (torch.randn(2, 4),))
    with pytest.raises(PlanError, match="can be trained"):
        scores(still, "taylor", batches=[])


def test_fpgm_is_the_sum_of_distances_to_the_other_channels(program: Program) -> None:
    """He et al. 2019: filters that the others can replace are those with the least total distance to them."""
    weights = {name: tensor.detach().double() for name, tensor in program.tensors.items()}
    makes, reads = weights["0.0.weight"].flatten(1), weights["0.3.weight"].transpose(0, 1).flatten(1)
    expected = (cdist(makes, makes).sum(1) + cdist(reads, reads).sum(1)) / 2
    np.testing.assert_allclose(scores(program, "fpgm")["0.0"], expected, rtol=1e-5)


def test_lamp_divides_by_what_is_not_smaller(program: Program) -> None:
    """Lee et al. 2021, eq. 1, worked out channel by channel."""

    def lamp(norms: torch.Tensor) -> torch.Tensor:
        return torch.stack([one / norms[norms >= one].sum() for one in norms])

    weights = {name: tensor.detach().double() for name, tensor in program.tensors.items()}
    makes = weights["0.0.weight"].square().sum((1, 2, 3))
    reads = weights["0.3.weight"].square().sum((0, 2, 3))
    found = scores(program, "lamp")["0.0"]
    np.testing.assert_allclose(found, ((lamp(makes) + lamp(reads)) / 2).numpy(), rtol=1e-6)
    assert criterion("lamp").normalisation == "none"


def test_lamp_of_a_layer_of_zeros_is_zero() -> None:
    network = nn.Sequential(nn.Linear(4, 6, bias=False), nn.Linear(6, 2, bias=False))
    for weight in network.parameters():
        nn.init.zeros_(weight)
    found = scores(compress.capture(network, (torch.randn(2, 4),)), "lamp")
    assert found["0"].tolist() == [0.0] * 6


def test_obd_is_half_curvature_times_square(program: Program) -> None:
    """LeCun et al. 1990 with the Fisher diagonal: squared gradients of single samples, not of their mean."""
    inputs, target = program.example_inputs(batch=4), torch.arange(4)
    found = scores(program, "obd", batches=[(inputs, target)])["0.0"]
    twin = program.copy()
    makes, reads = twin.tensors["0.0.weight"], twin.tensors["0.3.weight"]
    saliency = [torch.zeros_like(makes), torch.zeros_like(reads)]
    for at in range(4):
        loss = F.cross_entropy(twin.module()(inputs[0][at : at + 1]), target[at : at + 1])
        for total, weight, gradient in zip(
            saliency, (makes, reads), torch.autograd.grad(loss, [makes, reads]), strict=True
        ):
            total += (gradient * weight.detach()).square() / 2 / 4
    expected = (saliency[0].sum((1, 2, 3)) + saliency[1].sum((0, 2, 3))) / 2
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4)


def test_fisher_is_half_the_mean_square_of_the_gate_derivative(program: Program) -> None:
    """Theis et al. 2018, checked by finite differences: a gate on the channel's signal, where it is read."""
    twin = program.copy().astype(torch.float64)
    (inputs,), target = twin.example_inputs(batch=4), torch.arange(4)
    found = scores(twin, "fisher", batches=[((inputs,), target)])["0.0"]
    reads, step = twin.tensors["0.3.weight"], 1e-5

    def losses(channel: int, gate: float) -> torch.Tensor:
        kept = reads.detach().clone()
        with torch.no_grad():
            reads[:, channel] *= gate
            result = F.cross_entropy(twin.module()(inputs), target, reduction="none")
            reads.copy_(kept)
        return result

    for channel in range(6):
        derivative = (losses(channel, 1 + step) - losses(channel, 1 - step)) / (2 * step)
        assert found[channel] == pytest.approx(float(derivative.square().mean() / 2), rel=1e-4)


def test_activation_is_the_mean_square_of_the_signal(program: Program) -> None:
    (inputs,), target = program.example_inputs(batch=6), torch.arange(6) % 4
    found = scores(program, "activation", batches=[((inputs[:4],), target[:4]), ((inputs[4:],), target[4:])])
    weights = program.tensors
    signal = F.conv2d(inputs, weights["0.0.weight"], weights["0.0.bias"])
    statistics = weights["0.1.running_mean"], weights["0.1.running_var"]
    read = F.relu(F.batch_norm(signal, *statistics, weights["0.1.weight"], weights["0.1.bias"])).detach()
    np.testing.assert_allclose(found["0.0"], read.square().mean((0, 2, 3)).numpy(), rtol=1e-4)
    deep = F.conv2d(read, weights["0.3.weight"], weights["0.3.bias"]).detach()
    np.testing.assert_allclose(found["0.3"], deep.square().mean((0, 2, 3)).numpy(), rtol=1e-4)


@pytest.fixture(scope="module")
def transformer() -> Program:
    torch.manual_seed(0)
    return create("timm:test_vit", input_size=(3, 32, 32))


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in ("transformer", "resnet20_a") for name in sorted(set(CRITERIA) - {"random", "bn-scale"})]
    + [("mobilenet_v2", "fpgm"), ("mobilenet_v2", "fisher")],
)
def test_scores_follow_the_channels_when_they_are_reordered(
    name: str, kind: str, family: Callable[[str], Program], transformer: Program
) -> None:
    """A criterion that mixed up atoms of coupled layers, heads, depthwise layers or padded shortcuts would break it."""
    network = transformer if kind == "transformer" else family(kind)
    twin = network.copy().astype(torch.float64)
    moved = compress.permute(twin, seed=1)
    batch = [(twin.example_inputs(batch=3, seed=5), torch.arange(3))]
    before, after = scores(twin, name, batches=batch), scores(moved, name, batches=batch)
    assert before.keys() == after.keys()
    assert before
    for group, score in before.items():
        np.testing.assert_allclose(np.sort(after[group]), np.sort(score), rtol=1e-6, atol=1e-12)
    assert any(not np.allclose(after[group], score, rtol=1e-3, atol=0) for group, score in before.items())


@pytest.mark.parametrize("name", [name for name, kind in sorted(CRITERIA.items()) if kind.needs_data])
def test_criteria_that_need_data_say_so(program: Program, name: str) -> None:
    with pytest.raises(PlanError, match=f"criterion {name} needs data"):
        scores(program, name)
    with pytest.raises(PlanError, match=f"criterion {name} was given no batch"):
        scores(program, name, batches=[])


def test_a_criterion_without_a_name_goes_by_its_class(program: Program) -> None:
    class Even(ElementCriterion):
        def values(self, context: ScoreContext) -> dict[str, torch.Tensor]:
            return {name: torch.ones_like(value) for name, value in context.analysis.program.tensors.items()}

    plan = compress.prune(program, "macs=0.7", criterion=Even(), granularity=1).plan
    assert plan.settings["criterion"] == "Even"


def test_a_users_criterion_is_registered_and_used(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("compress.importance.CRITERIA", dict(CRITERIA))

    @register
    class Peak(SliceCriterion):
        name = "peak"

        def of_slices(self, slices: torch.Tensor) -> torch.Tensor:
            return slices.abs().max(dim=1).values

    weights = program.tensors
    makes, reads = weights["0.0.weight"].detach().abs(), weights["0.3.weight"].detach().abs()
    expected = (makes.amax((1, 2, 3)) + reads.amax((0, 2, 3))) / 2
    np.testing.assert_allclose(scores(program, "peak")["0.0"], expected.numpy(), rtol=1e-6)
    by_name = compress.prune(program, criterion="peak", granularity=1, dry_run=True)
    assert by_name.plan.settings["criterion"] == "peak"
    assert compress.prune(program, criterion=Peak(), granularity=1, dry_run=True).plan == by_name.plan

    class Other(ElementCriterion):
        name = "l2"

        def values(self, context: ScoreContext) -> dict[str, torch.Tensor]:
            return {}

    with pytest.raises(InputError, match="there is a criterion 'l2' already"):
        register(Other)


def test_a_criterion_from_a_users_file(program: Program, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from compress.importance import SliceCriterion\n"
        "class Mean(SliceCriterion):\n"
        "    name = 'mean-weight'\n"
        "    def of_slices(self, slices):\n"
        "        return slices.mean(dim=1)\n"
        "def function():\n"
        "    return 1\n"
        "class Broken(SliceCriterion):\n"
        "    name = 'broken'\n"
        "    def of_slices(self, slices):\n"
        "        return slices.nonsense()\n"
        "class Unfinished(SliceCriterion):\n"
        "    name = 'unfinished'\n"
    )
    found = scores(program, f"{file}:Mean")["0.0"]
    weights = program.tensors
    expected = weights["0.0.weight"].detach().mean((1, 2, 3)) + weights["0.3.weight"].detach().mean((0, 2, 3))
    np.testing.assert_allclose(found, expected.numpy() / 2, rtol=1e-4)
    with pytest.raises(PlanError, match="is no criterion"):
        criterion(f"{file}:function")
    with pytest.raises(InputError, match=r"mine.py:Broken: raised AttributeError.*\(mine.py, line 11\)"):
        scores(program, f"{file}:Broken")
    with pytest.raises(InputError, match=r"mine.py:Unfinished: .*abstract"):
        criterion(f"{file}:Unfinished")


def test_a_users_criterion_needs_no_name_and_is_told_what_it_does_wrong(program: Program, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from compress.importance import SliceCriterion\n"
        "class Nameless(SliceCriterion):\n"
        "    def of_slices(self, slices):\n"
        "        return slices.abs().amax(dim=1)\n"
        "class Scalar(Nameless):\n"
        "    def of_slices(self, slices):\n"
        "        return slices.abs().amax()\n"
        "class Borrowed(Nameless):\n"
        "    name = 'l2'\n"
        "class NotANumber(Nameless):\n"
        "    def of_slices(self, slices):\n"
        "        return slices.amax(dim=1) * float('nan')\n"
    )
    for name in ("Nameless", "Borrowed"):
        cut = compress.prune(program, criterion=f"{file}:{name}", granularity=1, dry_run=True)
        assert cut.plan.settings["criterion"] == f"mine.py:{name}"
    with pytest.raises(PlanError, match=r"mine.py:Scalar gives '0.0' scores of shape \(\); return .* shape \(\d+,\)"):
        compress.prune(program, criterion=f"{file}:Scalar")
    with pytest.raises(
        PlanError, match=r"mine.py:NotANumber .* not finite in '0.0'; its weights are finite; .*criterion"
    ):
        compress.prune(program, criterion=f"{file}:NotANumber")


def test_random_scores_depend_on_the_seed_alone(program: Program) -> None:
    first, second, other = (scores(program, "random", seed=seed)["0.0"] for seed in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
    assert np.unique(first).size == 6


def test_batch_norm_scale_needs_batch_norm() -> None:
    program = compress.capture(nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 2)), (torch.randn(2, 4),))
    with pytest.raises(PlanError, match="needs batch normalisation"):
        scores(program, "bn-scale")


def test_names_are_those_of_the_command_line() -> None:
    from compress.cli.options import CRITERIA as OFFERED

    assert tuple(CRITERIA) == OFFERED
    for name, kind in CRITERIA.items():
        assert isinstance(criterion(name), kind)
        assert issubclass(kind, Criterion)
    with pytest.raises(PlanError, match="there is no criterion 'L2'"):
        criterion("L2")
