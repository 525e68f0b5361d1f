"""The command line, called in this process, and small files for it to work on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from compress.cli.entry import run
from tests.compress.cli.calling import Cli, Outcome


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run the command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RANK", raising=False)

    def call(*arguments: object) -> Outcome:
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``net.pt2``, ``net.onnx``, the same pruned, their records, and a state dict ``resnet20.pt``."""
    import torch

    import models
    from compress.loading import create

    folder = tmp_path_factory.mktemp("prepared")
    torch.manual_seed(0)
    program = create("models:digitsnet")
    program.save(folder / "net.pt2")
    torch.save({"state_dict": models.create("models:resnet20").state_dict()}, folder / "resnet20.pt")
    for arguments in (["prune", "net.pt2"], ["export", "net.pt2"], ["export", "net.pruned.pt2"]):
        assert run([arguments[0], str(folder / arguments[1])]) == 0
    return folder


@pytest.fixture
def net(prepared: Path, tmp_path: Path) -> Path:
    """The network in the folder that commands run in."""
    return Path(shutil.copy(prepared / "net.pt2", tmp_path / "net.pt2"))


@pytest.fixture
def weights(prepared: Path, tmp_path: Path) -> Path:
    """A wrapped state dict of ResNet-20 in the folder that commands run in."""
    return Path(shutil.copy(prepared / "resnet20.pt", tmp_path / "resnet20.pt"))


@pytest.fixture
def onnx(prepared: Path, tmp_path: Path) -> Path:
    """The network as ONNX in the folder that commands run in."""
    return Path(shutil.copy(prepared / "net.onnx", tmp_path / "net.onnx"))


@pytest.fixture
def pair(prepared: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The network and the pruned one as ONNX, with records and networks beside them."""
    for path in prepared.iterdir():
        shutil.copy(path, tmp_path / path.name)
    return tmp_path / "net.onnx", tmp_path / "net.pruned.onnx"
