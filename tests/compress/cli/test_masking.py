"""``compress prune --sparsity``, and what the other commands make of masked networks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import compress
import models
from compress.errors import UnavailableError
from compress.loading import create
from exporters import _tensorrt
from tests.compress.cli.calling import Cli


def test_zeros_alone_cut_no_channel(cli: Cli, net: Path) -> None:
    ended = cli("prune", net, "--sparsity", 0.8, "--pattern", "4x1")
    assert ended.code == 0, ended.err
    dense, masked = compress.load(net), compress.load(net.with_name("net.pruned.pt2"))
    assert masked.count().macs == dense.count().macs
    assert masked.structure_hash() == dense.structure_hash()
    assert all(mask.sparsity == pytest.approx(0.8, abs=0.005) for mask in masked.masks.values())
    assert "80.00 % zeros among the 54464 weights of 8 layers (2 stay dense)" in ended.out
    assert "zeros make nothing faster by themselves" in ended.out
    assert masked.info.metrics["sparsity"]["source"]["file"] == "net.pt2"


def test_channels_go_first_and_zeros_keep_their_blocks(cli: Cli, net: Path) -> None:
    ended = cli("prune", net, "--target", "macs=0.6", "--sparsity", 0.8, "--pattern", "4x1", "--json")
    assert ended.code == 0, ended.err
    dense, small = compress.load(net), compress.load(net.with_name("net.pruned.pt2"))
    assert small.count().macs / dense.count().macs == pytest.approx(0.6, abs=0.01)
    assert {mask.pattern for mask in small.masks.values()} == {"4x1"}
    assert [step.verb for step in small.info.provenance] == ["prune", "sparsify"]
    found = ended.data
    assert found["after"]["macs"] == small.count().macs == found["sparsity"]["after"]["macs"]
    assert found["sparsity"]["after"]["nonzero_macs"] == small.count().nonzero_macs
    assert found["sparsity"]["sparsity"] == pytest.approx(0.8, abs=1e-3)


def test_cutting_through_blocks_is_said(cli: Cli, net: Path) -> None:
    assert cli("prune", net, "--sparsity", 0.8, "--pattern", "4x1", "-o", "masked.pt2").code == 0
    ended = cli("prune", "masked.pt2", "--target", "macs=0.5", "-o", "cut.pt2", "--json")
    masks = compress.load("cut.pt2").masks
    broken = {name.removesuffix(".weight"): "4x1" for name, mask in masks.items() if mask.pattern == "unstructured"}
    assert broken
    assert ended.data["patterns_lost"] == broken
    shown = cli("prune", "masked.pt2", "--target", "macs=0.5", "--dry-run").out
    assert f"zeros in {len(broken)} of {len(masks)} masked layers are unstructured now and no longer 4x1" in shown
    # Where there are no blocks, none are lost.
    assert cli("prune", net, "--sparsity", 0.8, "-o", "single.pt2").code == 0
    ended = cli("prune", "single.pt2", "--target", "macs=0.5", "-o", "single-cut.pt2", "--json")
    assert ended.data["patterns_lost"] == {}
    assert ended.data["note"] is None


@pytest.mark.parametrize("sparsity", ["0.999", "0.995", "macs=0.01"])
def test_more_zeros_than_the_floor_allows_point_to_the_option(sparsity: str, cli: Cli, net: Path) -> None:
    note = cli("prune", net, "--sparsity", sparsity, "--dry-run", "--json").data["sparsity"]["note"]
    assert "is out of reach: " in note
    assert "lower the floor (--sparsity-least)" in note


@pytest.mark.parametrize("options", [("0.999", "--sparsity-least", 0), ("0.98",)])
def test_zeros_that_the_floor_allows_are_reached(options: tuple[object, ...], cli: Cli, net: Path) -> None:
    found = cli("prune", net, "--sparsity", *options, "--dry-run", "--json").data["sparsity"]
    assert found["sparsity"] == pytest.approx(float(str(options[0])), abs=1e-4)
    assert "out of reach" not in found["note"]


def test_a_share_of_macs_counts_zeros_as_removed(cli: Cli, net: Path) -> None:
    dense = compress.load(net).count().macs
    assert cli("prune", net, "--target", "macs=0.3", "--pattern", "unstructured", "-o", "one.pt2").code == 0
    one = compress.load("one.pt2").count()
    assert one.macs == dense
    assert one.nonzero_macs / dense == pytest.approx(0.3, abs=1e-3)
    # Beside cut channels the share is of the network that was given.
    assert cli("prune", net, "--target", "macs=0.6", "--sparsity", "macs=0.3", "-o", "two.pt2").code == 0
    two = compress.load("two.pt2").count()
    assert two.macs / dense == pytest.approx(0.6, abs=0.01)
    assert two.nonzero_macs / dense == pytest.approx(0.3, abs=1e-3)
    cli("prune", net, "--target", "macs=0.4", "--sparsity", "macs=0.5", "-o", "three.pt2").refused(
        "cutting channels leaves macs=0.4", "nothing to mask for macs=0.5"
    )


def test_half_of_four_needs_no_number(cli: Cli, net: Path) -> None:
    assert cli("prune", net, "--pattern", "2:4", "--dense", "stage1.*", "-o", "half.pt2").code == 0
    masks = compress.load("half.pt2").masks
    assert {mask.pattern for mask in masks.values()} == {"2:4"}
    assert not any(name.startswith("stage1") for name in masks)


def test_a_dry_run_shows_both_and_writes_nothing(cli: Cli, net: Path, tmp_path: Path) -> None:
    ended = cli("prune", net, "--target", "macs=0.6", "--sparsity", 0.8, "--dry-run")
    assert ended.code == 0, ended.err
    assert "asked for macs=0.6" in ended.out
    assert "asked for sparsity 0.8" in ended.out
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt2"]


def test_training_keeps_and_grows_zeros_and_says_so(cli: Cli, net: Path) -> None:
    grown = cli(
        "prune", net, "--sparsity", 0.7, "--pattern", "2x1", "--sparsity-schedule", "cubic", "--data", "digits",
        "--epochs", 1, "-o", "grown.pt2",
    )  # fmt: skip
    assert grown.code == 0, grown.err
    assert "accuracy, after finetuning" in grown.out
    before = compress.load("grown.pt2")
    ended = cli("finetune", "grown.pt2", "--data", "digits", "--epochs", 1, "-o", "more.pt2")
    assert ended.code == 0, ended.err
    assert "keeping the zeros of 8 masked layers (70.0 % of their weights)" in ended.err
    after = compress.load("more.pt2")
    for name, mask in after.masks.items():
        assert torch.equal(mask.kept, before.masks[name].kept)
        assert not after.tensors[name][~mask.kept].any()
    shown = cli("inspect", "more.pt2")
    assert "70.0 % of the weights of 8 masked layers are zero" in shown.out
    count = after.count()
    assert f", {100 * count.nonzero_macs / count.macs:.1f} % (no measure of time)" in shown.out
    assert "2x1" in shown.out


def test_a_compact_network_is_pruned_to_macs_while_it_trains_and_exported(cli: Cli, tmp_path: Path) -> None:
    """What stays dense by itself can be changed, and both figures are shown: by count and by MACs."""
    torch.manual_seed(0)
    create("models:fbnetv3_digits_b").save(tmp_path / "net.pt2")
    asked = ("prune", "net.pt2", "--sparsity", "macs=0.6", "--sparsity-allocation", "global")
    plain = cli(*asked, "--dry-run")
    assert plain.code == 0, plain.err
    assert re.search(r"blocks\.0\.squeeze\.expand .* dense .* squeeze-and-excite", plain.out)
    assert re.search(r"[\d.]+ % zeros among .* counting zeros as removed, 60\.\d\d % of the MACs and", plain.out)
    changed = ("--mask", "*.squeeze.*", "--mask", "*.depthwise.0", "--mask", "stem.0", "--dense", "head")
    trained = ("--sparsity-schedule", "cubic", "--data", "digits", "--epochs", 1)
    ended = cli(*asked, *changed, *trained, "-o", "small.pt2", "--json")
    assert ended.code == 0, ended.err
    found = ended.data["sparsity"]
    assert found["after"]["nonzero_macs"] / found["after"]["macs"] == pytest.approx(0.6, abs=0.002)
    reasons = {layer["name"]: layer["reason"] for layer in found["layers"] if layer["reason"]}
    assert reasons == {"head": "--dense head", "classifier": "last layer"}
    masks = compress.load("small.pt2").masks
    assert sum(mask.zeros for mask in masks.values()) == found["zeros"]
    exported = cli("export", "small.pt2", "--onnx", "-o", "out")
    assert exported.code == 0, exported.err
    assert "verified" in exported.out


@pytest.mark.slow
def test_fbnetv3_a_is_pruned_to_the_next_smaller_members_macs_exported_and_compiled(cli: Cli, tmp_path: Path) -> None:
    try:
        _tensorrt.find()
    except UnavailableError as error:
        pytest.skip(str(error))
    torch.manual_seed(0)
    torch.save(models.create("models:fbnetv3_a").state_dict(), tmp_path / "a.pt")
    asked = ("--sparsity", "macs=0.613", "--sparsity-allocation", "macs")
    assert cli("prune", "a.pt", *asked, "-o", "small.pt2").code == 0
    assert compress.load("small.pt2").count().nonzero_macs == pytest.approx(0.613 * 355_514_328, rel=1e-4)
    precision = ("--compute-capability", "8.6", "--precision", "fp16")
    ended = cli("export", "small.pt2", "--onnx", "--trt", *precision, "-o", "out")
    assert ended.code == 0, ended.err
    assert "compiled ahead of time, not executed" in ended.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--sparsity", "1.5"], ["sparsity target '1.5' is not understood"]),
        (["--sparsity", "0.8", "--pattern", "2:4"], ["half of its layers' weights zero"]),
        (["--sparsity", "0.8", "--sparsity-criterion", "taylor"], ["--sparsity-criterion taylor needs --data"]),
        (["--sparsity", "0.8", "--sparsity-schedule", "cubic"], ["while training", "--epochs"]),
        (["--dense", "stage1.*"], ["--dense", "give --sparsity 0.8"]),
        (["--sparsity", "0.8", "--keep", "stage1.*=0.5"], ["--keep", "give --target, too"]),
        (["--sparsity", "0.8", "--dense", "stage9"], ["--dense 'stage9' matches no layer"]),
        (["--pattern", "4x1"], ["there is no target"]),
        (["--sparsity", "0.8", "--save-plan", "p.json"], ["--save-plan has no channels to write"]),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(cli: Cli, net: Path, options: list[str], words: list[str]) -> None:
    cli("prune", net, *options).refused(*words)
    assert not net.with_name("net.pruned.pt2").exists()


def test_two_targets_of_zeros_are_refused(cli: Cli, net: Path) -> None:
    found = cli("prune", net, "--sparsity", "0.5", "--sparsity", "macs=0.3", "-o", "small.pt2")
    assert found.code == 2
    assert "one is met, and 2 were given: 0.5, macs=0.3" in found.err
    assert not Path("small.pt2").exists()
