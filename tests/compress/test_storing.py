"""Both file forms: whole, small, silent about this machine, and refused where they are damaged or hostile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import compress
from compress import Program
from compress.errors import CheckpointError, CompressError, InputError
from compress.info import VERSION
from compress.loading import create
from tests.compress.networks import Classifier, Heads, Segmenter, Tied, captured, image, warmed

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def pruned() -> Program:
    """A network with everything that a file must keep: plan, provenance, preprocessing."""
    program = captured(warmed(Classifier))
    program.info.record("train", arguments={"epochs": 3}, seed=7, input_sha256="ab" * 32, metrics={"top1": 0.9})
    program.info.classes = [str(digit) for digit in range(10)]
    return compress.prune(program, "macs=0.6", granularity=2).program


@pytest.fixture(scope="module")
def durable(tmp_path_factory: pytest.TempPathFactory) -> tuple[Program, Path]:
    """A pruned network that is made again from its reference, and its .safetensors."""
    torch.manual_seed(0)
    program = compress.prune(create("models:digitsnet"), "macs=0.5").program
    path = tmp_path_factory.mktemp("durable") / "net.safetensors"
    program.save(path)
    return program, path


def in_fresh_process(code: str, *arguments: object) -> str:
    environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, env=environment, check=True
    )
    return done.stdout.strip()


def test_plain_torch_opens_it_in_a_fresh_process(pruned: Program, tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    pruned.save(path)
    torch.save((image(3), pruned.module()(image(3))), tmp_path / "pair.pt")
    code = (
        "import sys, torch; x, y = torch.load(sys.argv[2]); found = torch.export.load(sys.argv[1]).module()(x);"
        "print(torch.equal(found, y))"
    )
    assert in_fresh_process(code, path, tmp_path / "pair.pt") == "True"


@pytest.mark.parametrize("build", [Classifier, Tied, Heads, Segmenter])
def test_a_program_comes_back_whole(build: Callable[[], torch.nn.Module], tmp_path: Path) -> None:
    program = captured(warmed(build))
    program.save(tmp_path / "net.pt2")
    again = compress.load(tmp_path / "net.pt2")
    assert again.fingerprint() == program.fingerprint()
    again.save(tmp_path / "again.pt2")
    assert compress.load(tmp_path / "again.pt2").structure() == again.structure()
    assert (again.inputs, again.outputs, again.tied) == (program.inputs, program.outputs, program.tied)
    assert again.requires_grad == program.requires_grad
    assert again.transient == program.transient
    assert again.count() == program.count()
    results = []
    for one in (program, again):
        torch.manual_seed(0)
        found = one.module(training=True)(image(4))
        assert isinstance(found, (torch.Tensor, tuple))
        results.append(found if isinstance(found, tuple) else (found,))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_ties_survive_the_file_and_training_after_it(tmp_path: Path) -> None:
    program = captured(warmed(Tied))
    program.save(tmp_path / "net.pt2")
    again = compress.load(tmp_path / "net.pt2")
    assert again.tensors["first.weight"] is again.tensors["second.weight"]
    module = again.module(training=True)
    module(image()).sum().backward()
    torch.optim.SGD(module.parameters(), 0.1).step()
    assert torch.equal(again.tensors["first.weight"], again.tensors["second.weight"])
    assert again.tensors["scale"].grad is None


def test_provenance_plan_and_classes_are_kept(pruned: Program, tmp_path: Path) -> None:
    pruned.save(tmp_path / "net.pt2")
    again = compress.load(tmp_path / "net.pt2")
    assert again.info == pruned.info
    assert [step.verb for step in again.info.provenance] == ["train", "prune"]
    first = again.info.provenance[0]
    assert (first.seed, first.input_sha256, first.metrics) == (7, "ab" * 32, {"top1": 0.9})
    assert first.versions["torch"] == torch.__version__.partition("+")[0] or first.versions["torch"]
    assert again.info.plan is not None
    assert again.info.plan_sha256 == compress.Plan.from_json(again.info.plan).sha256()


def test_nothing_of_the_user_is_in_the_file(pruned: Program, tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    pruned.save(path)
    with zipfile.ZipFile(path) as archive:
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
        samples = [name for name in archive.namelist() if "sample_inputs" in name]
        assert all(len(archive.read(name)) == 0 for name in samples), "example inputs would be the user's data"
    data = path.read_bytes()
    for trace in (str(tmp_path), str(ROOT), str(Path.home()), "site-packages", os.path.dirname(torch.__file__)):
        assert trace.encode() not in data, trace


def test_saving_the_same_program_twice_gives_the_same_content(pruned: Program, tmp_path: Path) -> None:
    for name in ("a.pt2", "b.pt2"):
        pruned.save(tmp_path / name)
    contents = []
    for name in ("a.pt2", "b.pt2"):
        with zipfile.ZipFile(tmp_path / name) as archive:
            contents.append({entry.partition("/")[2]: archive.read(entry) for entry in archive.namelist()})
    differing = {name for name in contents[0] if contents[0][name] != contents[1][name]}
    assert differing <= {".data/serialization_id"}
    assert contents[0].keys() == contents[1].keys()


def test_nothing_is_overwritten_unless_asked(pruned: Program, tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    path.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        pruned.save(path)
    assert path.read_text() == "mine"
    pruned.save(path, overwrite=True)
    assert compress.load(path).fingerprint() == pruned.fingerprint()


@pytest.mark.parametrize("name", ["net.onnx", "net", "net.pt"])
def test_other_endings_are_refused(pruned: Program, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"use \.pt2 or \.safetensors"):
        pruned.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_failing_save_leaves_the_old_file(pruned: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.pt2"
    pruned.save(path)
    before = path.read_bytes()

    def broken(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(torch.export, "save", broken)
    with pytest.raises(KeyboardInterrupt):
        pruned.save(path, overwrite=True)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.pt2"]


def test_the_durable_form_is_made_again_in_a_fresh_process(durable: tuple[Program, Path]) -> None:
    program, path = durable
    code = "import sys, compress; print(compress.load(sys.argv[1]).fingerprint())"
    assert in_fresh_process(code, path) == program.fingerprint()
    again = compress.load(path)
    assert again.info == program.info
    assert torch.equal(again.module()(*program.example_inputs()), program.module()(*program.example_inputs()))
    assert set(load_file(path)) == set(program.tensors)


def test_the_durable_form_replays_every_plan(durable: tuple[Program, Path], tmp_path: Path) -> None:
    program = compress.prune(durable[0], "params=0.7", granularity=1).program
    program.save(tmp_path / "twice.safetensors")
    again = compress.load(tmp_path / "twice.safetensors")
    assert again.fingerprint() == program.fingerprint()
    assert len(again.info.plans) == 2


def test_the_durable_form_needs_a_reference(pruned: Program, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs a model reference"):
        pruned.save(tmp_path / "net.safetensors")
    assert not list(tmp_path.iterdir())


def edited_weights(path: Path, target: Path, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], None]) -> Path:
    with safe_open(str(path), framework="pt") as stream:
        document = json.loads(stream.metadata()["compress.json"])
    tensors = load_file(path)
    change(document, tensors)
    save_file(tensors, target, metadata={"compress.json": json.dumps(document)})
    return target


DURABLE_DAMAGE: dict[str, Callable[[dict[str, Any], dict[str, torch.Tensor]], Any]] = {
    "no information": lambda document, _: document.pop("info"),
    "no model": lambda document, _: document["info"].update(model_ref=None),
    "no inputs": lambda document, _: document.pop("inputs"),
    "wrong inputs": lambda document, _: document.update(inputs=[["x"]]),
    "plans of another type": lambda document, _: document["info"].update(plans="all"),
    "plan that does not fit": lambda document, _: document["info"]["plans"][0]["groups"].update(
        nowhere={"width": 4, "keep": [1]}
    ),
    "no plan": lambda document, _: document["info"].update(plans=[]),
    "tensor missing": lambda _, tensors: tensors.pop(min(tensors)),
    "tensor too many": lambda _, tensors: tensors.update(extra=torch.zeros(2)),
    "tensor of another shape": lambda _, tensors: tensors.update({min(tensors): torch.zeros(3, 3)}),
    "other format": lambda document, _: document.update(format="other"),
    "newer": lambda document, _: document.update(version=99),
    "model that is not there": lambda document, _: document["info"].update(model_ref="models:nothing"),
}


@pytest.mark.parametrize("damage", DURABLE_DAMAGE)
def test_a_damaged_durable_file_is_refused_in_one_line(
    durable: tuple[Program, Path], tmp_path: Path, damage: str
) -> None:
    path = edited_weights(durable[1], tmp_path / "bad.safetensors", DURABLE_DAMAGE[damage])
    with pytest.raises(CompressError) as caught:
        compress.load(path)
    assert "\n" not in str(caught.value)
    if damage != "model that is not there":
        assert "bad.safetensors" in str(caught.value) or "nowhere" in str(caught.value)


def edited_archive(path: Path, target: Path, change: Callable[[dict[str, Any]], Any] | str) -> Path:
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as written:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith("compress.json"):
                if isinstance(change, str):
                    data = change.encode()
                else:
                    document = json.loads(data)
                    change(document)
                    data = json.dumps(document).encode()
            written.writestr(name, data)
    return target


@pytest.fixture(scope="module")
def archive(pruned: Program, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "net.pt2"
    pruned.save(path)
    return path


def test_an_archive_that_is_only_written_anew_still_loads(archive: Path, tmp_path: Path, pruned: Program) -> None:
    path = edited_archive(archive, tmp_path / "same.pt2", lambda document: None)
    assert compress.load(path).fingerprint() == pruned.fingerprint()


def _operator(document: dict[str, Any]) -> dict[str, Any]:
    return next(node for node in document["training"] if node["op"] == "call_function")


ARCHIVE_DAMAGE: dict[str, Callable[[dict[str, Any]], Any] | str] = {
    "not JSON": "{",
    "a list": "[]",
    "deep": "[" * 100_000,
    "another format": lambda document: document.update(format="x"),
    "no version": lambda document: document.pop("version"),
    "a newer version": lambda document: document.update(version=VERSION + 1),
    "no training graph": lambda document: document.pop("training"),
    "training graph of another type": lambda document: document.update(training=7),
    "node without arguments": lambda document: _operator(document).pop("args"),
    "unknown tensor": lambda document: document["training"][0].update(op="get_attr", target="not.there"),
    "tied to nothing": lambda document: document.update(tied={"head.weight": "gone"}),
    "parameters of another type": lambda document: document.update(parameters=[1]),
    "inputs of another type": lambda document: document.update(inputs=[["x", "y", "z"]]),
    "information of another type": lambda document: document.update(info={"provenance": 3}),
    "module call": lambda document: _operator(document).update(op="call_module", target="head"),
    "method call": lambda document: _operator(document).update(op="call_method", target="__reduce__"),
    "system call": lambda document: _operator(document).update(target="os.system"),
    "operator that writes files": lambda document: _operator(document).update(target="aten.save.default"),
    "operator that maps files": lambda document: _operator(document).update(target="aten.from_file.default"),
    "unknown operator": lambda document: _operator(document).update(target="aten.nonsense.default"),
    "attribute of the namespace": lambda document: _operator(document).update(target="aten.__class__.default"),
    "python beside the list": lambda document: _operator(document).update(target="operator.attrgetter"),
    "code as an argument's name": lambda document: _operator(document).update(
        kwargs={"x=__import__('os').abort(), y": 1}
    ),
    "code as a node's name": lambda document: _operator(document).update(name="a = __import__('os').abort()"),
    "keyword as an input's name": lambda document: next(
        node for node in document["training"] if node["op"] == "placeholder"
    ).update(target="class"),
    "code as a tensor's name": lambda document: document["training"][0].update(
        op="get_attr", target="head\n    __import__('os').abort()"
    ),
    "unknown kind of argument": lambda document: _operator(document).update(args=[{"code": "1"}]),
    "type that is none": lambda document: _operator(document).update(args=[{"dtype": "load"}]),
    "argument that is not there": lambda document: _operator(document).update(args=[{"node": "later"}]),
}


@pytest.mark.parametrize("damage", ARCHIVE_DAMAGE)
def test_a_damaged_or_hostile_archive_is_refused_in_one_line(archive: Path, tmp_path: Path, damage: str) -> None:
    path = edited_archive(archive, tmp_path / "bad.pt2", ARCHIVE_DAMAGE[damage])
    with pytest.raises(CheckpointError) as caught:
        compress.load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert "bad.pt2" in message
    if damage == "a newer version":
        assert "upgrade compress-toolchain" in message


def test_options_that_do_not_apply_to_a_whole_network_are_refused(archive: Path) -> None:
    for options in ({"model": "models:resnet20"}, {"submodule": "head"}, {"input_size": (3, 32, 32)}):
        with pytest.raises(CheckpointError, match="holds its own network"):
            compress.load(archive, **options)


def test_open_sizes_survive_the_file(tmp_path: Path) -> None:
    program = compress.capture(warmed(Segmenter), (image(),), dynamic_size=True)
    program.save(tmp_path / "net.pt2")
    again = compress.load(tmp_path / "net.pt2")
    assert again.dynamic_size
    x = image(size=22)
    for training in (False, True):
        assert again.module(training=training)(x)[0].shape == (2, 4, 22, 22)
    assert torch.export.load(tmp_path / "net.pt2").module()(x)[0].shape == (2, 4, 22, 22)
