"""``compress prune``, on a real network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import compress
from compress.cli.entry import run
from tests.compress.cli.calling import Cli

ROOT = Path(__file__).parents[3]


def test_plain_prune_halves_the_macs_and_says_what_it_does_not_know(cli: Cli, net: Path) -> None:
    dense = compress.load(net)
    ended = cli("prune", net)
    assert ended.code == 0, ended.err
    small = compress.load(net.with_name("net.pruned.pt2"))
    assert abs(small.count().macs / dense.count().macs - 0.5) < 0.01
    assert "accuracy unknown: no data given" in ended.out
    assert "wrote" in ended.out
    for tensor in small.state_dict().values():
        assert torch.isfinite(tensor).all()


def test_a_bare_state_dict_is_recognised_and_said(cli: Cli, weights: Path) -> None:
    ended = cli("prune", weights)
    assert ended.code == 0, ended.err
    assert "models:resnet20" in ended.err
    small = compress.load(weights.with_name("resnet20.pruned.pt2"))
    assert small.info.model_ref == "models:resnet20"
    assert small.inputs[0].shape == (1, 3, 32, 32)


def test_json_is_one_document_with_every_figure(cli: Cli, net: Path) -> None:
    found = cli("prune", net, "--json", "--target", "params=0.6").data
    assert found["output"].endswith("net.pruned.pt2")
    assert found["requested"] == "params=0.6"
    assert found["after"]["params"] < found["before"]["params"]
    assert {"name", "kind", "width_before", "width_after", "status", "reason"} <= set(found["layers"][0])
    assert found["accuracy"] == "accuracy unknown: no data given"


def test_nothing_is_overwritten_without_force(cli: Cli, net: Path) -> None:
    target = net.with_name("net.pruned.pt2")
    target.write_bytes(b"mine")
    cli("prune", net).refused("net.pruned.pt2", "--force")
    assert target.read_bytes() == b"mine"
    assert cli("prune", net, "--force").code == 0
    compress.load(target)


def test_dry_run_writes_nothing_but_a_plan_asked_for(cli: Cli, net: Path, tmp_path: Path) -> None:
    ended = cli("prune", net, "--dry-run")
    assert ended.code == 0
    assert "dry run" in ended.out
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt2"]
    ended = cli("prune", net, "--dry-run", "--save-plan", "plan.json")
    assert ended.code == 0
    assert "wrote plan.json" in ended.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.pt2", "plan.json"]
    cli("prune", net, "--dry-run", "--save-plan", "plan.json").refused("plan.json", "another name with --save-plan")


def test_a_saved_plan_replays_to_the_same_weights(cli: Cli, net: Path) -> None:
    assert (
        cli("prune", net, "-o", "one.pt2", "--save-plan", "plan.json", "--criterion", "random", "--seed", 3).code == 0
    )
    assert cli("prune", net, "-o", "two.pt2", "--plan", "plan.json").code == 0
    one, two = compress.load("one.pt2"), compress.load("two.pt2")
    assert one.fingerprint() == two.fingerprint()
    assert one.info.plan_sha256 == two.info.plan_sha256
    shown = cli("inspect", "plan.json", "--json").data
    assert shown["kind"] == "plan"
    assert shown["sha256"] == one.info.plan_sha256


def test_an_edited_plan_is_checked_before_anything_is_cut(cli: Cli, net: Path) -> None:
    assert cli("prune", net, "--dry-run", "--save-plan", "plan.json").code == 0
    plan = json.loads(Path("plan.json").read_text())
    name = next(iter(plan["groups"]))
    plan["groups"][name]["keep"] = [0, 10_000]
    Path("plan.json").write_text(json.dumps(plan))
    cli("prune", net, "--plan", "plan.json").refused(name)
    assert not net.with_name("net.pruned.pt2").exists()


def test_a_broken_plan_is_refused_before_the_checkpoint_is_opened(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "broken.pt2").write_bytes(b"not a checkpoint")
    for text in ("{", "[]", '{"format": "something else"}'):
        (tmp_path / "plan.json").write_text(text)
        cli("prune", tmp_path / "broken.pt2", "--plan", tmp_path / "plan.json").refused("plan.json")


def test_ignore_and_keep_are_obeyed(cli: Cli, net: Path) -> None:
    found = cli(
        "prune", net, "--json", "--ignore", "stage1.*", "--keep", "stage3.conv1=0.4", "--target", "macs=0.7"
    ).data
    rows = {row["name"]: row for row in found["layers"]}
    assert rows["stage1.conv1"]["status"] == "protected"
    assert rows["stage1.conv1"]["width_after"] == rows["stage1.conv1"]["width_before"]
    assert rows["stage3.conv1"]["width_after"] == 16


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--target", "flops=0.5"), ("flops",)),
        (("--target", "macs=1.5"), ("1.5",)),
        (("--ignore", "nosuchlayer*"), ("nosuchlayer",)),
        (("--keep", "nosuchlayer=0.5"), ("nosuchlayer",)),
        (("--criterion", "taylor"), ("taylor", "--data")),
        (("--criterion", "obd"), ("obd", "--data")),
        (("--criterion", "magic"), ("magic", "fisher")),
        (("--criterion", "mine.py:Mine"), ("mine.py",)),
        (("--aggregation", "median"), ("--aggregation", "median")),
        (("--normalisation", "z"), ("--normalisation", "isomorphic")),
        (("--min-keep", "1.5"), ("--min-keep", "1.5")),
        (("--steps", "0"), ("--steps", "0")),
        (("--schedule", "quick"), ("--schedule", "cubic")),
        (("--schedule", "cubic"), ("--schedule", "--steps")),
        (("--plan", "plan.json", "--min-keep", "0.5"), ("--plan", "--min-keep")),
        (("--epochs", "3"), ("--epochs", "--data")),
        (("--data", "nosuchdata"), ("nosuchdata",)),
        (("--plan", "missing.json"), ("missing.json",)),
        (("-o", "small.onnx"), ("small.onnx", ".pt2")),
        (("-o", "nowhere/small.pt2"), ("nowhere",)),
        (("--model", "models:resnet20"), ("--model",)),
        (("--input-size", "1,16,16"), ("net.pt2", "--input-size")),
    ],
)
def test_mistakes_are_refused_before_anything_is_written(
    arguments: tuple[str, ...], words: tuple[str, ...], cli: Cli, net: Path, tmp_path: Path
) -> None:
    cli("prune", net, *arguments).refused(*words)
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt2"]


@pytest.fixture(scope="module")
def finetuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``dense.pt2``, trained briefly on digits."""
    folder = tmp_path_factory.mktemp("finetuned")
    target = folder / "dense.pt2"
    assert (
        run(["finetune", "models:digitsnet", "--data", "digits", "--epochs", "4", "--lr", "0.05", "-o", str(target)])
        == 0
    )
    return folder


def test_with_data_accuracy_is_followed_from_dense_to_finetuned(cli: Cli, finetuned: Path) -> None:
    found = cli(
        "prune", finetuned / "dense.pt2", "--data", "digits", "--epochs", 3, "--lr", 0.05, "--json", "-o", "small.pt2"
    ).data
    accuracy = {stage: metrics["top1"] for stage, metrics in found["accuracy"].items()}
    assert accuracy["dense"] > 0.85
    assert accuracy["batch_norm"] > accuracy["pruned"]
    assert accuracy["finetuned"] > 0.85
    small = compress.load("small.pt2")
    assert [step.verb for step in small.info.provenance] == ["finetune", "prune", "finetune"]
    assert all(step.input_sha256 for step in small.info.provenance)
    assert small.info.provenance[-1].arguments["distilled"] is True
    assert cli("evaluate", "small.pt2", "--data", "digits", "--json").data["metrics"]["top1"] == accuracy["finetuned"]
    assert not list(Path().glob("small.run/*.pt"))
    assert Path("small.run/history.csv").exists()


def test_a_layer_that_min_keep_holds_is_said_to_be_held_by_it(cli: Cli, net: Path) -> None:
    layers = cli("prune", net, "--min-keep", 0.99, "--dry-run", "--json").data["layers"]
    reasons = {layer["name"]: layer["reason"] for layer in layers}
    assert reasons["stage1.conv1"] == "--min-keep 0.99 leaves no smaller width"


def test_a_dry_run_with_data_does_not_say_that_none_was_given(cli: Cli, net: Path) -> None:
    arguments = ("prune", net, "--data", "digits", "--dry-run")
    assert cli(*arguments, "--json").data["accuracy"] == "accuracy not measured: a dry run"
    assert "no data given" not in cli(*arguments).out


def test_the_taylor_criterion_uses_the_data(cli: Cli, finetuned: Path) -> None:
    arguments = ("prune", finetuned / "dense.pt2", "--data", "digits", "--dry-run", "--json")
    taylor = cli(*arguments, "--criterion", "taylor")
    assert taylor.code == 0, taylor.err
    assert abs(taylor.data["after"]["macs"] / taylor.data["before"]["macs"] - 0.5) < 0.01


def test_ctrl_c_leaves_a_state_that_the_same_command_goes_on_from(cli: Cli, finetuned: Path, tmp_path: Path) -> None:
    command = ["prune", str(finetuned / "dense.pt2"), "--data", "digits", "--lr", "0.05", "--epochs", "8"]
    assert cli(*command, "-o", "whole.pt2").code == 0
    interrupted = [*command, "-o", "stopped.pt2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    started = subprocess.Popen(
        [sys.executable, "-m", "compress", *interrupted],
        cwd=tmp_path,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    state = tmp_path / "stopped.run" / "state.pt"
    while not state.exists() and started.poll() is None:
        time.sleep(0.02)
    started.send_signal(signal.SIGINT)
    said = started.communicate()[1]
    assert started.returncode == 130, said
    assert "interrupted" in said
    assert "again" in said
    assert "Traceback" not in said
    assert not Path("stopped.pt2").exists()
    again = cli(*interrupted)
    assert again.code == 0, again.err
    assert "going on from" in again.err
    assert compress.load("stopped.pt2").fingerprint() == compress.load("whole.pt2").fingerprint()


def test_the_state_of_another_run_is_not_taken_over(cli: Cli, finetuned: Path) -> None:
    command = ["prune", finetuned / "dense.pt2", "--data", "digits", "-o", "small.pt2", "--epochs"]
    assert cli(*command, 1).code == 0
    assert cli(*command, 2, "--force").code == 0, "a finished run leaves no state behind"
    torch.save({"version": 1, "identity": {}}, "small.run/state.pt")
    cli(*command, 2, "--force").refused("different run")
    assert cli(*command, 2, "--force", "--restart").code == 0


def test_steps_share_out_the_epochs_and_end_at_the_target(cli: Cli, finetuned: Path) -> None:
    command = ["prune", finetuned / "dense.pt2", "--data", "digits", "--lr", 0.05, "--target", "macs=0.4", "--steps", 3]
    ended = cli(
        *command,
        "--epochs",
        5,
        "--granularity",
        2,
        "--schedule",
        "cubic",
        "-o",
        "small.pt2",
        "--json",
        "--save-plan",
        "plan.json",
    )
    assert ended.code == 0, ended.err
    assert "5 epochs: 1 after each step, 3 at the end" in ended.err
    assert "step 1 of 3" in ended.err
    assert "step 2 of 3" in ended.err
    assert abs(ended.data["after"]["macs"] / ended.data["before"]["macs"] - 0.4) < 0.01
    small = compress.load("small.pt2")
    verbs = [step.verb for step in small.info.provenance]
    assert verbs == ["finetune", "prune", "finetune", "prune", "finetune", "prune", "finetune"]
    assert all(step.input_sha256 for step in small.info.provenance)
    assert [step.arguments["epochs"] for step in small.info.provenance[2::2]] == [1, 1, 3]
    assert len(small.info.plans) == 3
    assert not list(Path("small.run").rglob("*.pt"))
    replayed = cli("prune", finetuned / "dense.pt2", "--plan", "plan.json", "-o", "again.pt2", "--json")
    assert replayed.data["plan_sha256"] == small.info.plan_sha256
    assert replayed.data["after"] == ended.data["after"]


def test_steps_that_were_interrupted_go_on_to_the_same_bits(
    cli: Cli, finetuned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from compress.training.trainer import Trainer

    command = ["prune", finetuned / "dense.pt2", "--data", "digits", "--lr", 0.05, "--steps", 2, "--epochs", 3]
    command += ["--criterion", "fisher"]
    assert cli(*command, "-o", "whole.pt2").code == 0
    original = Trainer._train_step
    for stop_after in (3, 11 + 14):  # within the training after step 1; within the second epoch at the end
        taken: list[int] = []

        def interrupted(self: Trainer, *arguments: object, stop: int = stop_after, taken: list[int] = taken) -> bool:
            taken.append(1)
            if len(taken) > stop:
                raise KeyboardInterrupt
            return original(self, *arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(Trainer, "_train_step", interrupted)
        stopped = cli(*command, "-o", "stopped.pt2")
        assert stopped.code == 130
        assert "run the same command again" in stopped.err
        assert not Path("stopped.pt2").exists()
    monkeypatch.setattr(Trainer, "_train_step", original)
    again = cli(*command, "-o", "stopped.pt2")
    assert again.code == 0, again.err
    assert "going on from" in again.err
    assert compress.load("stopped.pt2").fingerprint() == compress.load("whole.pt2").fingerprint()
