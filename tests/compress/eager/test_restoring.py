"""``structure.json`` beside plain weights: pruned classes made again, in another process, and nothing else done."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import compress
from compress.eager.restoring import make
from compress.errors import CheckpointError, EagerError, InputError, ModelError
from compress.loading import create
from tests.compress.networks import Classifier, image

FACTORY = """
import torch
from torch import nn


class Gated(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.width = width
        self.sizes = (width, width)
        self.stem = nn.Conv2d(3, 2 * width, 3, padding=1)
        self.register_buffer("offset", torch.linspace(-1, 1, width), persistent=False)
        self.head = nn.Linear(width, 4)

    def forward(self, x):
        a, b = self.stem(x).split(self.sizes, dim=1)
        x = (a * b.sigmoid()).mean((2, 3)).view(-1, self.width)
        return self.head(torch.tanh(x + self.offset))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a user's file, the pruned module's structure and weights, and what it computes."""
    folder = tmp_path_factory.mktemp("gated")
    (folder / "net.py").write_text(FACTORY)
    torch.manual_seed(0)
    ref = f"{folder / 'net.py'}:Gated?width=12"
    module = make(ref, None).eval()
    plan = compress.prune(compress.capture(module, (image(),)), "ratio=0.5", granularity=1, scope="local").plan
    plan.apply_to(module)
    compress.save_structure(module, folder / "structure.json", ref)
    torch.save(module.state_dict(), folder / "weights.pt")
    torch.save((image(), module(image()).detach()), folder / "expected.pt")
    return folder


@pytest.fixture
def gated(made: Path, tmp_path: Path) -> Path:
    """A copy of that folder, to be changed."""
    folder = tmp_path / "gated"
    shutil.copytree(made, folder)
    found = (folder / "structure.json").read_text()
    (folder / "structure.json").write_text(found.replace(str(made), str(folder)))
    return folder


def document(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "structure.json").read_text()))


def test_the_file_says_what_changed_and_no_more(gated: Path) -> None:
    found = document(gated)
    width = found["parameters"]["head.weight"][1]
    assert 1 <= width < 12
    assert found["parameters"] == {
        "stem.weight": [2 * width, 3, 3, 3],
        "stem.bias": [2 * width],
        "head.weight": [4, width],
    }
    numbers = {(item["module"], item["name"]): item["value"] for item in found["attributes"]}
    assert numbers == {
        ("", "width"): width,
        ("", "sizes"): [width, width],
        ("stem", "out_channels"): 2 * width,
        ("head", "in_features"): width,
    }
    assert list(found["constants"]) == ["offset"]
    assert len(found["constants"]["offset"]["values"]) == width


def test_a_fresh_process_makes_the_class_again_without_capturing(gated: Path) -> None:
    code = """
import sys, torch, compress
made = compress.restore("structure.json", "weights.pt", trust_checkpoint=True)
given, expected = torch.load("expected.pt", weights_only=True)
assert torch.equal(made.eval()(given), expected), "differs"
assert made.sizes == (made.width, made.width), made.sizes
print(type(made).__name__, "compress.capturing" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=gated, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["Gated", "False"]


def test_plain_torch_can_read_it_too(gated: Path) -> None:
    structure = document(gated)
    module = make(structure["model"], None)
    for name, shape in structure["parameters"].items():
        holder, _, leaf = name.rpartition(".")
        setattr(module.get_submodule(holder), leaf, nn.Parameter(torch.empty(shape)))
    for name, tensor in structure["constants"].items():
        module._buffers[name] = torch.tensor(tensor["values"]).reshape(tensor["shape"])
    for item in structure["attributes"]:
        setattr(module.get_submodule(item["module"]), item["name"], item["value"])
    module.load_state_dict(torch.load(gated / "weights.pt", weights_only=True))
    given, expected = torch.load(gated / "expected.pt", weights_only=True)
    assert torch.equal(module.eval()(given), expected)


class Recurring(nn.Module):
    """One layer, run twice, under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body, self.head = nn.Linear(3, 16), nn.Linear(16, 16), nn.Linear(16, 4)
        self.again = self.body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.body(torch.relu(self.stem(x.mean((2, 3)))))
        return self.head(torch.relu(self.again(torch.relu(x))))


class Listening(nn.Module):
    """An LSTM that reads a width that shrinks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.lstm, self.head = nn.Linear(8, 16), nn.LSTM(16, 6, batch_first=True), nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(torch.relu(self.stem(x.mean(1))))[0][:, -1])


def test_an_lstm_behind_a_cut_layer_is_applied_and_restored(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module, x = Listening().eval(), torch.randn(2, 3, 5, 8)
    result = compress.prune(compress.capture(module, (x,)), "ratio=0.5", granularity=1)
    result.plan.apply_to(module)
    assert (module.lstm.input_size, module.stem.out_features) == (8, 8)
    assert torch.allclose(module(x), result.program.module()(x), atol=1e-6)
    compress.save_structure(module, tmp_path / "structure.json", Listening())
    made = compress.restore(tmp_path / "structure.json", module.state_dict(), module=Listening()).eval()
    assert torch.equal(made(x), module(x))


def test_a_layer_under_two_names_is_one_layer_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Recurring().eval()
    compress.prune(compress.capture(module, (image(),)), "ratio=0.5", granularity=1).plan.apply_to(module)
    compress.save_structure(module, tmp_path / "structure.json", Recurring())
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    made = compress.restore(tmp_path / "structure.json", tmp_path / "weights.pt", module=Recurring()).eval()
    assert torch.equal(made(image()), module(image()))
    assert made.again is made.body
    assert made.get_parameter("body.weight").shape == (8, 8)


def test_code_that_the_file_names_runs_with_leave_only(gated: Path) -> None:
    (gated / "net.py").write_text(FACTORY + "\nopen('ran', 'w').close()\n")
    with pytest.raises(CheckpointError, match="which the file names itself"):
        compress.restore(gated / "structure.json", gated / "weights.pt")
    assert not Path("ran").exists()


def test_an_instance_of_ones_own_needs_no_leave(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Classifier().eval()
    compress.prune(compress.capture(module, (image(),))).plan.apply_to(module)
    compress.save_structure(module, tmp_path / "structure.json", Classifier())
    made = compress.restore(tmp_path / "structure.json", module.state_dict(), module=Classifier()).eval()
    assert torch.equal(made(image()), module(image()))
    with pytest.raises(CheckpointError, match=r"does not say how its .*Classifier is made"):
        compress.restore(tmp_path / "structure.json", module.state_dict())
    with pytest.raises(CheckpointError, match="written for another network"):
        compress.restore(tmp_path / "structure.json", module.state_dict(), module=Classifier(24))
    with pytest.raises(InputError, match="exists already"):
        compress.save_structure(module, tmp_path / "structure.json", Classifier())
    with pytest.raises(InputError, match="not made of the same layers"):
        compress.save_structure(module, tmp_path / "other.json", nn.Linear(2, 2))


def test_classes_of_packages_are_named_with_their_arguments(tmp_path: Path) -> None:
    module = nn.Linear(6, 4)
    path = tmp_path / "structure.json"
    compress.save_structure(module, path, "torch.nn:Linear?in_features=6&out_features=4")
    with pytest.raises(CheckpointError, match="names itself"):
        compress.restore(path, module.state_dict())
    made = compress.restore(path, module.state_dict(), trust_checkpoint=True)
    assert torch.equal(made(torch.ones(1, 6)), module(torch.ones(1, 6)))
    for wrong in ("torch.nn:Nothing", "torch.nothing:Linear", "torch.nn:Linear?in_features=6", "builtins:dict"):
        with pytest.raises(ModelError):
            compress.save_structure(module, tmp_path / "other.json", wrong)


def test_a_program_becomes_its_class_again(tmp_path: Path) -> None:
    torch.manual_seed(0)
    program = compress.prune(create("models:digitsnet")).program
    program.save(tmp_path / "small.pt2")
    loaded = compress.load(tmp_path / "small.pt2")
    module = compress.eager_module(loaded).eval()
    given = loaded.example_inputs()
    assert torch.allclose(module(*given), loaded.module()(*given), atol=1e-6)
    assert "DigitsNet" in type(module).__name__
    with pytest.raises(InputError, match="names no class"):
        compress.eager_module(compress.capture(Classifier(), (image(),)))


def _set(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda found: found.update({key: value})


def _attribute(module: str, name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda found: found["attributes"].append({"module": module, "name": name, "value": value})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_attribute("", "forward", 1), "no whole number"),
        (_attribute("", "training", 1), "no whole number"),
        (_attribute("", "__class__", 1), "no whole number"),
        (_attribute("", "_parameters", 1), "no whole number"),
        (_attribute("nowhere", "width", 1), "no whole number"),
        (_attribute("stem", "new", 1), "no whole number"),
        (_attribute("", "width", 0), "no smaller form"),
        (_attribute("", "width", -1), "no smaller form"),
        (_attribute("", "width", 10**30), "no smaller form"),
        (_attribute("", "width", [4]), "no smaller form"),
        (_attribute("", "sizes", 4), "no smaller form"),
        (_attribute("", "sizes", [4]), "no smaller form"),
        (_attribute("", "sizes", [4, "4"]), "no smaller form"),
        (_attribute("", "sizes", [4, True]), "no smaller form"),
        (_attribute("", "width", True), "not a structure"),
        (_attribute("", "width", 4.0), "not a structure"),
        (_attribute("", "width", "4"), "not a structure"),
        (_set("parameters", {"head.weight": [4, 10**9]}), "no smaller"),
        (_set("parameters", {"head.weight": [4]}), "no smaller"),
        (_set("parameters", {"head.weight": [4, 0]}), "no smaller"),
        (_set("parameters", {"head.weight": [4, -3]}), "no smaller"),
        (_set("parameters", {"head.nothing": [4]}), "the network has not"),
        (_set("parameters", {"offset": [4]}), "the network has not"),
        (_set("buffers", {"head.weight": [4, 4]}), "the network has not"),
        (_set("constants", {"offset": {"dtype": "float32", "shape": [3], "values": [1.0]}}), "do not fit"),
        (_set("constants", {"offset": {"dtype": "int64", "shape": [1], "values": [1]}}), "do not fit"),
        (_set("constants", {"head.weight": {"dtype": "float32", "shape": [1, 1], "values": [1.0]}}), "has not"),
        (_set("extra", 1), "not a structure"),
        (_set("format", "other"), "not a structure"),
        (_set("version", 2), "upgrade"),
        (_set("model", 3), "not a structure"),
        (_set("model", "timm:nothing_of_that_name"), "nothing_of_that_name"),
        (_set("submodule", "nowhere"), "no submodule"),
        (_set("parameters", {}), "mis-shaped"),
    ],
)
def test_hostile_files_are_refused_in_one_line(gated: Path, change: Callable[[Any], None], said: str) -> None:
    found = document(gated)
    change(found)
    (gated / "structure.json").write_text(json.dumps(found))
    with pytest.raises((CheckpointError, ModelError), match=said) as caught:
        compress.restore(gated / "structure.json", gated / "weights.pt", trust_checkpoint=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"3", b"\xff", b"[" * 100_000, b'{"format": "compress-structure"}']
)
def test_files_that_are_no_structure_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "structure.json").write_bytes(content)
    for path in (tmp_path / "structure.json", tmp_path / "missing.json", tmp_path):
        with pytest.raises(CheckpointError) as caught:
            compress.restore(path, {})
        assert "\n" not in str(caught.value)


def test_a_pickle_in_place_of_weights_is_not_run(gated: Path) -> None:
    torch.save(nn.Linear(2, 2), gated / "weights.pt")
    with pytest.raises(CheckpointError):
        compress.restore(gated / "structure.json", gated / "weights.pt", trust_checkpoint=True)


def test_a_class_that_spells_sizes_out_is_refused_from_the_program_too(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(FACTORY.replace("-1, self.width)", "-1, 16)"))
    program = compress.prune(create(f"{tmp_path / 'net.py'}:Gated", input_size=(3, 8, 8)), granularity=1).program
    with pytest.raises(EagerError, match=r"net\.py:18"):
        compress.eager_module(program)
