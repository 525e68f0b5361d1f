"""The GitHub Action: its commands, run in bash with the environment that GitHub would give them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).parents[1]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
EXPRESSION = re.compile(r"\$\{\{\s*([\w.-]+)\s*\}\}")
Job = Callable[..., "Ended"]


class Ended:
    """How the action's steps ended."""

    def __init__(self, code: int, log: str, folder: Path) -> None:
        self.code = code
        self.log = log
        self.summary = (folder / "summary.md").read_text()
        written = (folder / "output").read_text().splitlines()
        self.step = dict(line.split("=", 1) for line in written)

    def output(self, name: str) -> str:
        """An output of the action, as its file says where to take it from."""
        expression = EXPRESSION.fullmatch(ACTION["outputs"][name]["value"])
        assert expression is not None
        _, step, kind, key = expression[1].split(".")
        assert (step, kind) == ("gate", "outputs")
        return self.step[key]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Run the action in a folder with ``base.onnx``, ``same.onnx`` and ``slow.onnx``."""
    _write(tmp_path / "base.onnx", 4)
    _write(tmp_path / "same.onnx", 4)
    _write(tmp_path / "slow.onnx", 12)

    def run(**given: str) -> Ended:
        for name in ("summary.md", "output"):
            (tmp_path / name).write_text("")
        known = {name: spec.get("default", "") for name, spec in ACTION["inputs"].items()}
        assert set(given) <= {name.replace("-", "_") for name in known}
        values = known | {name.replace("_", "-"): value for name, value in given.items()}
        log, code = "", 0
        for step in ACTION["runs"]["steps"]:
            done = _step(step, values, tmp_path)
            log, code = log + done.stdout + done.stderr, done.returncode
            if code:
                break
        return Ended(code, log, tmp_path)

    return run


def _step(step: dict[str, Any], inputs: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    context = {f"inputs.{name}": value for name, value in inputs.items()} | {"github.action_path": str(ROOT)}
    given = {name: EXPRESSION.sub(lambda found: context[found[1]], text) for name, text in step["env"].items()}
    files = {"GITHUB_STEP_SUMMARY": str(folder / "summary.md"), "GITHUB_OUTPUT": str(folder / "output")}
    assert step["shell"] == "bash"
    (folder / "step.sh").write_text(step["run"])
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", folder / "step.sh"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | files | given,
        capture_output=True,
        text=True,
        check=False,
    )


def _write(path: Path, layers: int) -> None:
    weight = np.random.default_rng(0).standard_normal((16, 16, 3, 3)).astype(np.float32) * 0.1
    nodes = [
        helper.make_node("Conv", [f"t{at}" if at else "input", "w"], [f"t{at + 1}"], pads=[1] * 4)
        for at in range(layers)
    ]
    shape = [1, 16, 24, 24]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"t{layers}", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))


HERE = {"python": sys.executable, "install": "false", "baseline": "base.onnx"}


def test_a_file_that_is_not_slower_passes(job: Job) -> None:
    ended = job(**HERE, candidate="same.onnx", max_regression="40%", budget="20", junit="gate.xml", report="v.json")
    assert ended.code == 0, ended.log
    assert ended.output("status") == "pass"
    assert ended.output("exit-code") == "0"
    assert abs(float(ended.output("slowdown"))) < 0.4
    assert ended.summary.startswith("## Gate: PASS")
    assert "::error" not in ended.log


def test_a_slower_file_fails_with_an_annotation(job: Job, tmp_path: Path) -> None:
    (tmp_path / "gate.yaml").write_text("latency: 40%\nsize: 0%\nbudget: 20\n")
    ended = job(**HERE, candidate="slow.onnx", policy="gate.yaml", junit="gate.xml")
    assert ended.code == 1, ended.log
    assert ended.output("status") == "fail"
    assert "::error title=compress gate%3A latency FAIL::" in ended.log
    assert "## Gate: FAIL" in ended.summary
    assert "<failure" in (tmp_path / "gate.xml").read_text()


@pytest.mark.parametrize(("undecided", "code"), [("fail", 3), ("warn", 0)])
def test_an_undecided_gate_fails_or_warns_as_asked(job: Job, undecided: str, code: int) -> None:
    ended = job(**HERE, candidate="same.onnx", max_regression="0.0001%", budget="1", undecided=undecided)
    assert ended.code == code, ended.log
    assert ended.output("exit-code") == "3"
    assert "::warning title=compress gate%3A latency" in ended.log


def test_wrong_input_is_told_and_nothing_in_it_is_run(job: Job, tmp_path: Path) -> None:
    ended = job(**HERE, candidate="$(touch ran).onnx; touch ran", arguments="--seed `touch ran`")
    assert ended.code == 2
    assert not (tmp_path / "ran").exists()
    assert job(**HERE, candidate="same.onnx", undecided="perhaps").code == 2
    assert job(**HERE | {"install": "maybe"}, candidate="same.onnx").code == 2


def test_every_input_reaches_a_step_through_the_environment_only() -> None:
    used = {
        name for step in ACTION["runs"]["steps"] for text in step["env"].values() for name in EXPRESSION.findall(text)
    }
    assert used - {"github.action_path"} == {f"inputs.{name}" for name in ACTION["inputs"]}
    assert not any(EXPRESSION.search(step["run"]) for step in ACTION["runs"]["steps"])
