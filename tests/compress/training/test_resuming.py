"""A killed or interrupted run goes on as if nothing had happened, bit for bit."""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from compress import Program, data
from compress.data import DataSource
from compress.errors import CheckpointError, InputError
from compress.training import Interrupted, config_of, finetune
from compress.training.trainer import Trainer

ROOT = Path(__file__).parents[3]

SCRIPT = """
import sys, time
import torch
from torch import nn
import compress
from compress import data
from compress.errors import CompressError
from compress.training import config_of, finetune, trainer


def run(folder, images):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 2),
    )
    program = compress.capture(net, (torch.zeros(2, 3, 32, 32),))
    source = data.load(f"imagefolder:{images}")
    config = config_of(epochs=3, lr=0.1, batch_size=8, ema=0.9, save_every_steps=3)
    return finetune(program, source, config, output_dir=folder, quiet=True).program.state_dict()


if __name__ == "__main__":
    step = trainer.Trainer._train_step

    def slowly(self, *arguments):
        print("step", flush=True)
        time.sleep(0.15)
        return step(self, *arguments)

    trainer.Trainer._train_step = slowly
    try:
        run(*sys.argv[1:])
    except CompressError as error:
        sys.exit(f"{error.exit_code} {error}")
"""


def _start(script: Path, folder: Path, images: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(script), str(folder), str(images)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(torch.get_num_threads())},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait_for_steps(process: subprocess.Popen[str], count: int) -> None:
    assert process.stdout is not None
    for _ in range(count):
        line = process.stdout.readline()
        if not line:
            raise AssertionError(process.stderr.read() if process.stderr else "")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "run.py"
    path.write_text(SCRIPT)
    return path


def _finish(script: Path, folder: Path, images: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = runpy.run_path(str(script))["run"](folder, images)
    return weights


@pytest.fixture
def images(tmp_path: Path) -> Path:
    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(0)
    for part, count in (("train", 32), ("val", 8)):
        for label, offset in (("dark", 0), ("light", 60)):
            folder = tmp_path / "images" / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(offset, offset + 180, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "images"


def test_a_run_killed_twice_ends_with_the_same_bits(tmp_path: Path, script: Path, images: Path) -> None:
    whole = _finish(script, tmp_path / "whole", images)
    # Eight steps an epoch, saved every three: the first kill falls into the first epoch, the second into the second.
    for steps, epoch in ((5, 0), (10, 1)):
        process = _start(script, tmp_path / "killed", images)
        _wait_for_steps(process, steps)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        state = torch.load(tmp_path / "killed" / "state.pt", weights_only=True)
        assert (state["epoch"], state["step"]) == (epoch, 3)
    resumed = _finish(script, tmp_path / "killed", images)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_ctrl_c_leaves_a_resumable_state_and_says_how_to_go_on(tmp_path: Path, script: Path, images: Path) -> None:
    whole = _finish(script, tmp_path / "whole", images)
    process = _start(script, tmp_path / "stopped", images)
    _wait_for_steps(process, 10)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert said.startswith("130 stopped in epoch 2 of 3; the state after ")
    assert "run the same command again" in said
    assert "Traceback" not in said
    resumed = _finish(script, tmp_path / "stopped", images)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_an_interrupt_within_a_step_keeps_what_is_on_disk(
    network: Program, digits: DataSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    config = config_of(epochs=2, lr=0.01, save_every_steps=2, optimizer=optimizer)
    whole = finetune(network, digits, config, output_dir=tmp_path / "whole")
    taken = []
    original = Trainer._train_step

    def interrupted(self: Trainer, *arguments: object) -> bool:
        taken.append(1)
        if len(taken) == 6:
            raise KeyboardInterrupt
        return original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "_train_step", interrupted)
    with pytest.raises(Interrupted, match=r"the state after 4 of 11 steps of epoch 1 is kept .*; run the same command"):
        finetune(network, digits, config, output_dir=tmp_path / "out")
    monkeypatch.undo()
    resumed = finetune(network, digits, config, output_dir=tmp_path / "out")
    ours, theirs = whole.program.state_dict(), resumed.program.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    drop = ("seconds",)
    assert [{k: v for k, v in row.items() if k not in drop} for row in whole.history] == [
        {k: v for k, v in row.items() if k not in drop} for row in resumed.history
    ]


def test_a_different_run_is_refused_and_the_differences_named(
    network: Program, plain_network: Program, digits: DataSource, tmp_path: Path
) -> None:
    config = config_of(epochs=1, lr=0.1)
    finetune(network, digits, config, output_dir=tmp_path)
    with pytest.raises(InputError, match=r"config.lr was 0.1, is now 0.2, config.seed was 0, is now 1"):
        finetune(network, digits, config_of(epochs=1, lr=0.2, seed=1), output_dir=tmp_path)
    with pytest.raises(InputError, match="belongs to a different run: program was"):
        finetune(plain_network, digits, config, output_dir=tmp_path)
    with pytest.raises(InputError, match="teacher was None, is now"):
        finetune(network, digits, config, teacher=network, output_dir=tmp_path)
    shifted = data.load("digits", preprocessing={"mean": [0.1], "std": [1.0]})
    with pytest.raises(InputError, match=r"data was '?[0-9a-f]{12}"):
        finetune(network, shifted, config, output_dir=tmp_path)
    # How often the state is saved does not change the result.
    finetune(network, digits, config_of(epochs=1, lr=0.1, save_every_steps=7), output_dir=tmp_path)


def test_an_edited_loss_file_is_a_different_run(network: Program, digits: DataSource, tmp_path: Path) -> None:
    file = tmp_path / "loss.py"
    text = "import torch\ndef loss(outputs, target):\n    return torch.nn.functional.cross_entropy(outputs, target)\n"
    file.write_text(text)
    config = config_of(epochs=1, loss=f"{file}:loss")
    finetune(network, digits, config, output_dir=tmp_path / "out")
    file.write_text(text + "# edited\n")
    with pytest.raises(InputError, match="loss file was"):
        finetune(network, digits, config, output_dir=tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04broken"])
def test_a_damaged_state_is_named(network: Program, digits: DataSource, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"state.pt: cannot be read .*remove it to start over"):
        finetune(network, digits, config_of(), output_dir=tmp_path)


def test_a_state_that_would_run_code_is_refused(network: Program, digits: DataSource, tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.system, (f"touch {tmp_path / 'ran'}",))

    torch.save({"version": 1, "identity": Attack()}, tmp_path / "state.pt")
    with pytest.raises(CheckpointError, match="cannot be read"):
        finetune(network, digits, config_of(), output_dir=tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    code = """
import resource, sys
from pathlib import Path
import torch
from compress.errors import InputError
from compress.training import state
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    state.write(Path(sys.argv[1]), {"weights": torch.zeros(50_000)})
except InputError as error:
    print(error)
"""
    path = tmp_path / "state.pt"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert "state.pt: cannot be written (File too large)" in done.stdout
    assert not list(tmp_path.iterdir())
