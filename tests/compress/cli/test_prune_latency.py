"""``compress prune`` with targets in latency, and in steps that pay."""

from __future__ import annotations

from pathlib import Path

import pytest

import compress
from tests.compress.cli.calling import Cli
from tests.compress.latency.made_up import made_up
from tests.compress.latency.stairs import staircase

TARGET = "latency=0.8@onnxruntime-cpu"


@pytest.fixture
def model(net: Path) -> Path:
    """A latency model of the network, made up."""
    path = net.with_name("cpu.latency.json")
    made_up(compress.load(net)).save(path)
    return path


def test_steps_that_pay_come_from_the_file_and_are_told(cli: Cli, net: Path) -> None:
    staircase(16).save("cpu.staircase.json")
    ended = cli("prune", net, "--granularity", "auto", "--staircase", "cpu.staircase.json", "--save-plan", "plan.json")
    assert ended.code == 0, ended.err
    assert "16 channels that onnxruntime-cpu computes together" in ended.out
    small, dense = compress.load(net.with_name("net.pruned.pt2")), compress.load(net)
    assert abs(small.count().macs / dense.count().macs - 0.5) < 0.0105
    assert "auto: onnxruntime-cpu" in Path("plan.json").read_text()
    found = cli("prune", net, "--granularity", "auto", "--staircase", "cpu.staircase.json", "--dry-run", "--json").data
    assert {"step", "reason"} == set(next(iter(found["steps"].values())))


def test_a_latency_is_predicted_measured_and_told(cli: Cli, net: Path, model: Path) -> None:
    arguments = ("prune", net, "--target", TARGET, "--latency-model", model, "--granularity", 4, "--seconds", 0.3)
    ended = cli(*arguments, "--save-plan", "plan.json")
    assert ended.code == 0, ended.err
    assert "latency, round 1: asked for" in ended.err
    assert f"{TARGET}: predicted" in ended.out
    assert f"asked for {TARGET}" in ended.out
    found = compress.load("net.pruned.pt2").info.metrics["latency"]
    assert found["target"] == TARGET
    assert found["measured"]["pairs"] >= 16
    assert compress.Plan.load("plan.json").settings["target"] == TARGET
    told = cli(*arguments, "--dry-run", "--json").data
    assert told["latency"]["measured"] is None
    assert told["latency"]["predicted"] == pytest.approx(0.8, abs=0.0105)


def test_options_that_mean_nothing_are_refused(cli: Cli, net: Path, model: Path) -> None:
    cli("prune", net, "--granularity", "often").refused("often", "auto@onnxruntime-cpu")
    cli("prune", net, "--granularity", 0).refused("not in the range")
    cli("prune", net, "--threads", 2).refused("--threads", "nothing asks for")
    cli("prune", net, "--latency-model", model).refused("--latency-model", "latency")
    cli("prune", net, "--staircase", "x.json", "--target", TARGET, "--latency-model", model).refused(
        "--granularity auto"
    )
    cli("prune", net, "--target", "latency=0.5").refused("names no runtime")
    cli("prune", net, "--target", TARGET, "--latency-model", "none").refused("none", "does not exist")
    cli("prune", net, "--target", TARGET, "--latency-model", model, "--threads", 2).refused("threads 1, not 2")
    other = "latency=0.5@openvino"
    cli("prune", net, "--target", other, "--latency-model", model).refused("runtime onnxruntime-cpu, not openvino")
    trained = ("--latency-model", model, "--data", "digits", "--epochs", 2)
    cli("prune", net, "--target", TARGET, *trained, "--steps", 2).refused("--steps 2 trains between steps")
    cli("prune", net, "--plan", "p.json", "--target", TARGET).refused("--target cannot be given")
    assert not Path("net.pruned.pt2").exists()


def test_runtimes_that_are_not_there_end_with_their_own_code(cli: Cli, net: Path) -> None:
    cli("prune", net, "--target", "latency=0.5@onnxruntime-coreml").refused("onnxruntime-coreml", code=4)
    cli("prune", net, "--granularity", "auto@onnxruntime-coreml").refused("onnxruntime-coreml", code=4)
    cli("prune", net, "--granularity", "auto@abacus").refused("abacus", "known are")


def test_a_latency_that_cannot_be_says_the_floor(cli: Cli, net: Path, model: Path) -> None:
    target = "latency=0.001@onnxruntime-cpu"
    cli("prune", net, "--target", target, "--latency-model", model).refused(target, "the floor is latency=0.")
