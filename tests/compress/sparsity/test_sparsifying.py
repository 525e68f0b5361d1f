"""``compress.sparsify``: what is asked for is what is masked, and what cannot be is said."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import compress
from compress import Program
from compress.errors import PlanError
from compress.sparsity.layers import maskable_layers
from compress.sparsity.patterns import PATTERNS


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
def test_the_zeros_are_where_the_masks_are_and_have_the_pattern(resnet20: Program, pattern: str) -> None:
    before = resnet20.fingerprint()
    result = compress.sparsify(resnet20, None if pattern == "2:4" else 0.75, pattern=pattern)
    program = result.program
    layouts = {layer.weight: layer.layout for layer in maskable_layers(program)}
    assert len(result.masks) == 18
    for name, mask in result.masks.items():
        weight = program.tensors[name]
        assert mask.pattern == pattern
        assert PATTERNS[pattern].holds(layouts[name].opened(mask.kept))
        assert torch.equal(weight == 0, ~mask.kept)
        assert torch.equal(weight[mask.kept], resnet20.tensors[name][mask.kept])
    wanted = 0.5 if pattern == "2:4" else 0.75
    assert result.report.sparsity == pytest.approx(wanted, abs=1e-4)
    assert result.report.after.macs == result.report.before.macs
    assert resnet20.fingerprint() == before


def test_figures_are_not_mixed_and_say_over_what(digitsnet: Program) -> None:
    report = compress.sparsify(digitsnet, "macs=0.3").report
    assert report.requested == "macs=0.3 counting zeros as removed"
    assert report.after.nonzero_macs / report.after.macs == pytest.approx(0.3, abs=1e-3)
    assert report.after.macs == report.before.macs
    assert f"zeros among the {report.weights} weights of 8 layers (2 stay dense)" in report.achieved
    params = compress.sparsify(digitsnet, "params=0.4").report
    assert params.after.nonzero_params / params.after.params == pytest.approx(0.4, abs=1e-4)


def test_a_dry_run_masks_nothing(digitsnet: Program) -> None:
    result = compress.sparsify(digitsnet, 0.5, dry_run=True)
    assert result.program is digitsnet
    assert not digitsnet.masks
    assert result.report.sparsity == pytest.approx(0.5, abs=1e-4)


def test_more_zeros_are_put_on_top_of_those_that_are_there(digitsnet: Program) -> None:
    first = compress.sparsify(digitsnet, 0.5, pattern="4x1").program
    second = compress.sparsify(first, 0.8, pattern="4x1", allocation="global")
    assert second.report.sparsity == pytest.approx(0.8, abs=1e-3)
    for name, mask in second.masks.items():
        assert not (mask.kept & ~first.masks[name].kept).any()
        assert mask.pattern == "4x1"
    mixed = compress.sparsify(compress.sparsify(digitsnet, 0.4).program, 0.6, pattern="4x1").report
    assert mixed.note is not None
    assert "layers had zeros of another pattern before" in mixed.note
    with pytest.raises(PlanError, match=r"the network has more zeros already than sparsity 0\.3 leaves"):
        compress.sparsify(first, 0.3)


def test_the_same_call_gives_the_same_masks(digitsnet: Program) -> None:
    one, two = (compress.sparsify(digitsnet, 0.7, pattern="2x1").program for _ in range(2))
    assert one.fingerprint() == two.fingerprint()
    assert one.fingerprint() != digitsnet.fingerprint()


def test_what_was_done_is_kept_in_the_network(digitsnet: Program) -> None:
    step = compress.sparsify(digitsnet, 0.7, pattern="2x1", dense=["stage1.*"]).program.info.provenance[-1]
    assert step.verb == "sparsify"
    assert step.arguments["pattern"] == "2x1"
    assert step.arguments["dense"] == ["stage1.*"]
    assert step.metrics["sparsity"] == pytest.approx(0.7, abs=1e-3)


@pytest.mark.parametrize(
    ("asked", "options", "said"),
    [
        (None, {}, "there is no target; ask for a sparsity, such as 0.8"),
        (1.0, {}, "sparsity target 1.0 is not understood"),
        ("latency=0.5", {}, "sparsity target 'latency=0.5' is not understood"),
        ("nan", {}, "sparsity target 'nan' is not understood"),
        (0.8, {"pattern": "2:4"}, "pattern 2:4 has half of its layers' weights zero, so sparsity 0.8 cannot be asked"),
        (0.8, {"criterion": "l2"}, "there is no sparsity criterion 'l2'"),
        (0.8, {"criterion": "taylor"}, "criterion taylor needs data"),
        (0.8, {"least": 1.0}, "least 1 is not between 0 and 1"),
    ],
)
def test_requests_that_mean_nothing_are_refused(
    digitsnet: Program, asked: float | str | None, options: dict[str, object], said: str
) -> None:
    with pytest.raises(PlanError) as refusal:
        compress.sparsify(digitsnet, asked, **options)  # type: ignore[arg-type]
    assert said in str(refusal.value)


def test_channels_without_any_weight_left_are_counted(digitsnet: Program) -> None:
    program = digitsnet.copy()
    with torch.no_grad():
        program.tensors["stage1.conv1.weight"][3] *= 1e-6
    note = compress.sparsify(program, 0.5).report.note
    assert note == "output channels with no weight left, which give a constant: 1"


def test_two_of_four_skips_inputs_that_are_no_multiple_of_four_and_says_what_is_left(mini: Program) -> None:
    """FB-8: exactly two of every four inputs stay, other layers are skipped with a reason, eligible MACs are told."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 6, 3), nn.Conv2d(6, 12, 1), nn.Conv2d(12, 8, 1, groups=2))
    odd = compress.capture(nn.Sequential(*net, nn.Conv2d(8, 5, 1)), (torch.randn(2, 3, 9, 9),))
    report = compress.sparsify(odd, pattern="2:4").report
    reasons = {layer.name: layer.reason for layer in report.layers}
    assert reasons == {
        "0": "stem", "1": None, "2": "6 inputs are no multiple of four", "3": "6 inputs are no multiple of four",
        "4": "last layer",
    }  # fmt: skip
    assert set(compress.sparsify(odd, pattern="2:4", mask=["2"]).masks) == {"1.weight", "2.weight"}
    result = compress.sparsify(mini, pattern="2:4")
    for name, mask in result.masks.items():
        fours = mask.kept.transpose(0, 1).unflatten(0, (-1, 4))
        assert (fours.sum(dim=1) == 2).all(), name
        assert torch.equal(result.program.tensors[name] != 0, mask.kept)
    eligible = sum(layer.macs for layer in result.report.layers if layer.pattern == "2:4")
    report = result.report
    assert report.masked_macs == report.to_json()["masked_macs"] == eligible
    assert report.before.macs - report.after.nonzero_macs == pytest.approx(eligible / 2, abs=len(report.layers))
    assert f"which do {100 * eligible / report.after.macs:.2f} % of the MACs" in report.achieved
