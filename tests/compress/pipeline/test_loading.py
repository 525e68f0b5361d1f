"""From what the user named to a Program."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
import torch

import compress
from compress.errors import InputError, ModelError
from compress.loading import create
from compress.pipeline.loading import Loading, create_program, is_ours, is_reference, newest_program, require_file
from compress.pipeline.reporter import Silent


@pytest.mark.parametrize("text", ["models:digitsnet", "timm:x?num_classes=10", "torchvision:resnet18", "net.py:make"])
def test_references_are_told_from_files(text: str) -> None:
    assert is_reference(text)


@pytest.mark.parametrize("text", ["model.pt", "folder/model.pt2", "models:", "C:model.pt", "net.py"])
def test_files_are_not_references(text: str) -> None:
    assert not is_reference(text)


def test_a_file_that_exists_is_a_file_whatever_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("models:odd").touch()
    assert not is_reference("models:odd")


def test_random_weights_come_from_the_seed() -> None:
    one, two, other = (create_program("models:digitsnet", Loading(), seed, Silent()) for seed in (1, 1, 2))
    assert one.fingerprint() == two.fingerprint() != other.fingerprint()
    assert one.info.model_ref == "models:digitsnet"


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(ModelError):
        create_program("models:nosuch", Loading(), 0, Silent())


def test_only_what_this_tool_wrote_is_ours(tmp_path: Path) -> None:
    program = create("models:digitsnet")
    program.save(tmp_path / "ours.pt2")
    program.save(tmp_path / "ours.safetensors")
    torch.export.save(program.export_program(), tmp_path / "foreign.pt2")
    (tmp_path / "text.pt2").write_text("compress.json")
    (tmp_path / "text.safetensors").write_text("compress.json")
    with zipfile.ZipFile(tmp_path / "zip.pt2", "w") as archive:
        archive.writestr("a.txt", "compress.json")
    (tmp_path / "folder.pt2").mkdir()
    ours = {path.name for path in tmp_path.iterdir() if is_ours(path)}
    assert ours == {"ours.pt2", "ours.safetensors"}


def test_the_newest_network_is_found(tmp_path: Path) -> None:
    program = create("models:digitsnet")
    for age, name in enumerate(("old.pt2", "new.pt2", "oldest.safetensors")):
        program.save(tmp_path / name)
        os.utime(tmp_path / name, (100 - age, 100 - age if name != "new.pt2" else 200))
    assert newest_program(tmp_path).name == "new.pt2"
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no network written by this tool"):
        newest_program(tmp_path / "empty")


def test_folders_and_missing_files_are_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.pt"):
        with pytest.raises(InputError, match=path.name):
            require_file(path)


def test_pipeline_jobs_can_be_called_from_python(tmp_path: Path) -> None:
    from compress.pipeline.prune import Choice, PruneRequest, run

    create("models:digitsnet").save(tmp_path / "net.pt2")
    outcome = run(PruneRequest(tmp_path / "net.pt2", Choice(target="ratio=0.5")), Silent())
    assert outcome.output == tmp_path / "net.pruned.pt2"
    assert outcome.result is not None
    assert compress.load(outcome.output).count().macs == outcome.result.report.after.macs
