"""State dicts as people find them: wrapped, prefixed, old, in every container; and files that are something else."""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from compress.checkpoints import kind, read
from compress.errors import CheckpointError
from compress.files import sha256_file

from ._archives import Touch, network

SHARED = Path(__file__).parents[4] / "shared" / "checkpoints"


def state() -> dict[str, torch.Tensor]:
    return network().state_dict()


def saved(document: Any, path: Path, **options: Any) -> Path:
    torch.save(document, path, **options)
    return path


def same(found: dict[str, torch.Tensor]) -> None:
    wanted = state()
    assert list(found) == list(wanted)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    with pytest.raises(CheckpointError):
        kind(path)
    return message


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".th", ".bin"])
@pytest.mark.parametrize("zipped", [True, False])
def test_bare_state_dict(suffix: str, zipped: bool, tmp_path: Path) -> None:
    path = saved(state(), tmp_path / f"net{suffix}", _use_new_zipfile_serialization=zipped)
    weights = read(path)
    same(weights.state)
    assert (weights.source, weights.sha256) == (path, sha256_file(path))
    assert (weights.wrapped_in, weights.notes, weights.module) == (None, [], None)
    assert kind(path) == "weights"


def test_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_file(state(), path, metadata={"format": "pt"})
    assert kind(path) == "weights"
    weights = read(path)
    assert weights.metadata == {"format": "pt"}
    assert all(torch.equal(weights.state[name], value) for name, value in state().items())
    save_file(state(), path, metadata={"compress.json": "{}"})
    assert kind(path) == "program-safetensors"


@pytest.mark.parametrize(
    ("wrap", "wrapped_in"),
    [
        (lambda s: {"state_dict": s, "epoch": 3, "best_prec1": 91.2}, "state_dict"),
        (lambda s: {"model": s, "optimizer": {"state": {0: {"step": torch.zeros(1)}}}}, "model"),
        (lambda s: {"model": {"state_dict": s}}, "model.state_dict"),
        (lambda s: {"model_state_dict": s, "loss": torch.tensor(0.1)}, "model_state_dict"),
        (lambda s: {"net": s, "acc": 1}, "net"),
        (lambda s: {"module": s}, "module"),
        (lambda s: {"network": s}, "network"),
        (lambda s: {"ema": {"module": s}, "steps": 4}, "ema.module"),
        (lambda s: {"state_dict_ema": s}, "state_dict_ema"),
        (lambda s: {"my_net": s, "epoch": 1}, "my_net"),
        (lambda s: collections.OrderedDict(state_dict=collections.OrderedDict(s)), "state_dict"),
    ],
)
def test_wrapped_state_dict(wrap: Any, wrapped_in: str, tmp_path: Path) -> None:
    weights = read(saved(wrap(state()), tmp_path / "net.pt"))
    same(weights.state)
    assert weights.wrapped_in == wrapped_in
    assert any(f"'{wrapped_in}'" in note for note in weights.notes)


def test_plain_weights_win_over_averaged_ones(tmp_path: Path) -> None:
    averaged = {name: value * 0 for name, value in state().items()}
    weights = read(saved({"model_ema": averaged, "model": state()}, tmp_path / "net.pt"))
    same(weights.state)
    assert any("EMA" in note and "not taken" in note for note in weights.notes)
    only = read(saved({"model_ema": state(), "epoch": 3}, tmp_path / "ema.pt"))
    assert any("only averaged weights" in note for note in only.notes)


@pytest.mark.parametrize(
    "prefix",
    ["module.", "_orig_mod.", "model.", "module.module.", "module._orig_mod.", "_orig_mod.module.", "module.model."],
)
def test_prefixes_of_wrappers_are_removed(prefix: str, tmp_path: Path) -> None:
    weights = read(saved({prefix + name: value for name, value in state().items()}, tmp_path / "net.pt"))
    same(weights.state)
    assert all("prefix" in note for note in weights.notes)
    assert weights.notes


def test_prefixes_that_not_all_carry_stay(tmp_path: Path) -> None:
    mixed = {"module.a": torch.zeros(1), "b": torch.zeros(1), "model.c": torch.zeros(1)}
    assert list(read(saved(mixed, tmp_path / "net.pt")).state) == list(mixed)


def test_compiled_parts_inside_lose_their_prefix(tmp_path: Path) -> None:
    mixed = {"stem._orig_mod.weight": torch.zeros(1), "head.weight": torch.zeros(1)}
    assert list(read(saved(mixed, tmp_path / "net.pt")).state) == ["stem.weight", "head.weight"]


def test_what_training_scripts_leave_beside_the_weights_is_harmless(tmp_path: Path) -> None:
    document = {
        "model": state(),
        "args": argparse.Namespace(lr=0.1, output=Path("runs")),
        "best": np.float64(0.9),
        "rng": np.random.RandomState(0).get_state(),
        "history": collections.OrderedDict(loss=[1.0]),
    }
    same(read(saved(document, tmp_path / "net.pt")).state)


def test_harmless_looking_objects_that_torch_will_not_read_are_named(tmp_path: Path) -> None:
    path = saved({"model": state(), "history": collections.defaultdict(list, loss=[1.0])}, tmp_path / "net.pt")
    assert "collections.defaultdict" in refused(path)
    same(read(path, trust=True).state)


def test_entries_that_are_no_tensors_are_named(tmp_path: Path) -> None:
    weights = read(saved({**state(), "epoch": 3}, tmp_path / "net.pt"))
    same(weights.state)
    assert any("epoch" in note for note in weights.notes)


def test_found_checkpoints() -> None:
    if not SHARED.is_dir():
        pytest.skip("needs ../shared/checkpoints")
    for name, count in (("resnet20-12fca82f.th", 97), ("resnet56-4bfd9763.th", 277)):
        weights = read(SHARED / name)
        assert weights.wrapped_in == "state_dict"
        assert len(weights.state) == count
        assert {"conv1.weight", "linear.bias"} <= weights.state.keys()


def test_pickled_module_needs_trust(tmp_path: Path) -> None:
    for zipped in (True, False):
        path = saved({"model": network()}, tmp_path / "module.pt", _use_new_zipfile_serialization=zipped)
        message = refused(path)
        assert "--trust-checkpoint" in message
        assert "torch.nn.modules" in message
        weights = read(path, trust=True)
        same(weights.state)
        assert isinstance(weights.module, nn.Sequential)
        assert kind(path, trust=True) == "weights"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_needs_trust(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    torch.jit.trace(network(), torch.randn(1, 3, 8, 8)).save(path)
    assert "TorchScript" in refused(path)
    weights = read(path, trust=True)
    assert weights.module is None
    assert {"0.weight", "5.bias"} <= weights.state.keys()


@pytest.mark.parametrize("zipped", [True, False])
def test_payload_in_a_pickle_never_runs(zipped: bool, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    path = tmp_path / "evil.pt"
    saved({"state_dict": state(), "x": Touch(marker)}, path, _use_new_zipfile_serialization=zipped)
    assert "open" in refused(path)
    assert not marker.exists()


def test_class_that_is_not_here_is_named(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"cfg": network()}, buffer)
    path = tmp_path / "gone.pt"
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            target.writestr(name, data.replace(b"torch.nn.modules.container\nSequential", b"my.lost.place\nSequential"))
    assert "my.lost.place.Sequential" in refused(path)
    with pytest.raises(CheckpointError, match="cannot be unpickled here"):
        read(path, trust=True)


def test_containers_without_weights_say_what_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "odd.pt"

    def message(document: Any) -> str:
        saved(document, path)
        with pytest.raises(CheckpointError) as caught:
            read(path)
        return str(caught.value)

    assert "'epoch', 'lr'" in message({"epoch": 3, "lr": 0.1})
    assert "and 5 more" in message({f"k{i}": i for i in range(15)})
    assert "empty" in message({})
    assert "empty" in message({"state_dict": {}}) or "'state_dict'" in message({"state_dict": {}})
    assert "single tensor of shape (2, 3)" in message(torch.zeros(2, 3))
    assert "list" in message([torch.zeros(1)])
    assert "several networks" in message({"generator": state(), "discriminator": state()})
    deep: Any = state()
    for _ in range(20):
        deep = {"model": deep}
    assert "deep" in message(deep)


def test_truncated_files(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    for options in ({}, {"_use_new_zipfile_serialization": False}):
        data = saved(state(), whole, **options).read_bytes()
        for share in (0.02, 0.3, 0.6, 0.9, 0.999):
            path = tmp_path / "cut.pt"
            path.write_bytes(data[: int(len(data) * share)])
            with pytest.raises(CheckpointError) as caught:
                read(path)
            assert "\n" not in str(caught.value)
    save_file(state(), whole)
    data = whole.read_bytes()
    for cut in (4, 9, 100, len(data) - 1):
        path = tmp_path / "cut.safetensors"
        path.write_bytes(data[:cut])
        refused(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), form=st.sampled_from(["zip", "legacy", "safetensors"]))
def test_any_damage_is_one_clear_line_or_goes_unnoticed(data: st.DataObject, form: str, tmp_path: Path) -> None:
    path = tmp_path / "damaged"
    small = {"a": torch.zeros(2), "b": torch.ones(1)}
    if form == "safetensors":
        save_file(small, path)
    else:
        saved({"model": small}, path, _use_new_zipfile_serialization=form == "zip")
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    for look in (kind, read):
        with contextlib.suppress(CheckpointError):
            look(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"hello world\n", "text file"),
        (b"\n \n", "blank"),
        ("epoch;loss\n1;ä\n".encode(), "text file"),
        (json.dumps({"a": 1}).encode(), "text file"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "HTML page"),
        (b"\n<HTML>\n", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "git lfs pull"),
        (b"\x1f\x8b\x08\x00rest", "gzip"),
        (b"\x89HDF\r\n\x1a\n....", "HDF5"),
        (b"\x93NUMPY\x01\x00", "NumPy"),
        (pickle.dumps({"a": np.zeros(3)}), "pickle"),
        (b"PK\x05\x06" + bytes(18), "zip"),
        (b"PK\x03\x04 nothing more", "truncated"),
        (bytes(range(200, 256)), "not a checkpoint"),
        (b"\x00", "not a checkpoint"),
        (b"\xff" * 8 + b"{", "not a checkpoint"),
        (b"\x10" + bytes(7) + b"{notjson notjson", "safetensors"),
    ],
)
def test_files_that_are_something_else(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    assert says in refused(path)


def test_places_that_are_no_files(tmp_path: Path) -> None:
    assert "folder" in refused(tmp_path)
    assert "does not exist" in refused(tmp_path / "nowhere.pt")
    os.mkfifo(tmp_path / "pipe.pt")
    assert "not a regular file" in refused(tmp_path / "pipe.pt")


def test_other_zip_archives_are_named(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("word/document.xml", "a.txt", "b.txt", "c.txt"):
            archive.writestr(name, "x")
    assert "word/document.xml, a.txt, b.txt, ..." in refused(path)
    np.savez(tmp_path / "arrays.npz", a=np.zeros(2))
    assert "NumPy" in refused(tmp_path / "arrays.npz")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("version", "8.20")
        archive.writestr("serialized_exported_program.json", "{}")
    assert "torch 2.7 or older" in refused(path)


def test_exported_program_is_no_state_dict(archive: Path) -> None:
    assert kind(archive) == "pt2"
    with pytest.raises(CheckpointError, match=r"compress\.load"):
        read(archive)
