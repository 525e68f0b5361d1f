"""``compress.load``: from any accepted file to a Program, saying what was recognised or why it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import compress
import models
from compress.errors import CaptureError, CheckpointError, CompressError, ModelError
from compress.loading import create

SHARED = Path(__file__).parent.parent.parent.parent / "shared" / "checkpoints"

FACTORY = '''
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU())
        self.extra = nn.Linear(5, width)
        self.head = nn.Linear(width, 4)

    def forward(self, image, facts):
        return self.head(self.body(image).mean((2, 3)) + self.extra(facts))


def two_inputs(width: int = 8):
    return Net(width), (torch.randn(2, 3, 8, 8), torch.randn(2, 5))


class Detector(nn.Module):
    """A body with two feature maps, and boxes whose number depends on the data: it cannot be captured whole."""

    def __init__(self):
        super().__init__()
        self.transform = nn.AvgPool2d(2)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1))
        self.boxes = nn.Conv2d(16, 5, 1)
        self.never = nn.Linear(2, 2)

    def forward(self, images):
        found = self.boxes(self.body(self.transform(images))).flatten(2)
        return [row[:, row[4] > 0] for row in found]


def detector():
    return Detector()
'''


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("user") / "network.py"
    path.write_text(FACTORY)
    return str(path)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    torch.manual_seed(0)
    module = models.create("models:digitsnet")
    path = tmp_path_factory.mktemp("weights") / "digits.pt"
    torch.save({"epoch": 3, "model_state_dict": {f"module.{k}": v for k, v in module.state_dict().items()}}, path)
    return module, path


def equal(program: compress.Program, module: nn.Module) -> bool:
    inputs = program.example_inputs(batch=3)
    return torch.equal(program.module()(*inputs), module.eval()(*inputs))


def test_a_wrapped_state_dict_with_its_reference(digits: tuple[nn.Module, Path]) -> None:
    module, path = digits
    program = compress.load(path, model="models:digitsnet")
    assert equal(program, module)
    assert program.inputs[0].shape == (1, 1, 8, 8)
    assert program.info.model_ref == "models:digitsnet"
    (step,) = program.info.provenance
    assert (step.verb, step.arguments["file"]) == ("load", "digits.pt")
    assert step.input_sha256 is not None
    assert len(step.input_sha256) == 64


def test_an_architecture_is_recognised_and_said(digits: tuple[nn.Module, Path]) -> None:
    module, path = digits
    said: list[str] = []
    program = compress.load(path, say=said.append)
    assert equal(program, module)
    assert any("models:digitsnet" in line for line in said)


def test_bare_safetensors_are_weights(digits: tuple[nn.Module, Path], tmp_path: Path) -> None:
    module, _ = digits
    save_file(module.state_dict(), tmp_path / "digits.safetensors")
    assert equal(compress.load(tmp_path / "digits.safetensors", model="models:digitsnet"), module)


def test_another_number_of_classes_is_part_of_the_reference(tmp_path: Path) -> None:
    module = models.create("models:resnet20?num_classes=7")
    torch.save(module.state_dict(), tmp_path / "seven.pt")
    said: list[str] = []
    program = compress.load(tmp_path / "seven.pt", say=said.append)
    assert program.outputs[0].shape == (1, 7)
    assert program.info.model_ref is not None
    assert "num_classes=7" in program.info.model_ref
    assert equal(program, module)


def test_weights_that_do_not_fit_are_listed(digits: tuple[nn.Module, Path]) -> None:
    with pytest.raises(CheckpointError) as caught:
        compress.load(digits[1], model="models:resnet20")
    assert "digits.pt" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_input_size_of_the_callers(tmp_path: Path) -> None:
    module = models.create("models:resnet20")
    torch.save(module.state_dict(), tmp_path / "net.pt")
    program = compress.load(tmp_path / "net.pt", model="models:resnet20", input_size=(3, 48, 40))
    assert program.inputs[0].shape == (1, 3, 48, 40)
    assert program.count().macs > create("models:resnet20").count().macs
    assert equal(program, module)


@pytest.mark.parametrize(("size", "error"), [((3, 0, 8), ModelError), ((), ModelError), ((4, 32, 32), CaptureError)])
def test_impossible_input_sizes_are_refused(size: tuple[int, ...], error: type[CompressError]) -> None:
    with pytest.raises(error) as caught:
        create("models:resnet20", input_size=size)
    assert "\n" not in str(caught.value)


def test_open_sizes_are_asked_for_at_loading() -> None:
    program = create("models:resnet20", dynamic_size=True)
    assert program.module()(torch.randn(2, 3, 40, 24)).shape == (2, 10)


def test_a_users_factory_may_bring_several_inputs(factory: str, tmp_path: Path) -> None:
    reference = models.load_reference(f"{factory}:two_inputs?width=12")
    torch.save(reference.module.state_dict(), tmp_path / "net.pt")
    program = compress.load(tmp_path / "net.pt", model=f"{factory}:two_inputs?width=12")
    assert [(spec.name, spec.shape) for spec in program.inputs] == [("image", (1, 3, 8, 8)), ("facts", (1, 5))]
    assert equal(program, reference.module)
    smaller = compress.prune(program, "macs=0.5", granularity=1).program
    smaller.save(tmp_path / "net.safetensors")
    with pytest.raises(CheckpointError, match="--trust-checkpoint"):
        compress.load(tmp_path / "net.safetensors")
    again = compress.load(tmp_path / "net.safetensors", trust_checkpoint=True)
    assert again.fingerprint() == smaller.fingerprint()


def test_a_part_of_a_detector_is_captured_at_the_size_it_is_called_with(factory: str, tmp_path: Path) -> None:
    module = models.load_reference(f"{factory}:detector").module
    torch.save(module.state_dict(), tmp_path / "net.pt")
    ref = f"{factory}:detector"
    with pytest.raises(CaptureError, match="--submodule"):
        compress.load(tmp_path / "net.pt", model=ref, input_size=(3, 32, 32))
    program = compress.load(tmp_path / "net.pt", model=ref, input_size=(3, 32, 32), submodule="body")
    assert program.inputs[0].shape == (1, 3, 16, 16), "the detector halves its images first"
    assert equal(program, module.get_submodule("body"))
    smaller = compress.prune(program, "macs=0.5", granularity=1).program
    assert smaller.outputs == program.outputs, "what the detector's head reads keeps its width"
    smaller.save(tmp_path / "body.safetensors")
    again = compress.load(tmp_path / "body.safetensors", trust_checkpoint=True)
    assert again.fingerprint() == smaller.fingerprint()


@pytest.mark.parametrize(("name", "said"), [("nothing", "the network's parts are"), ("never", "is not called")])
def test_parts_that_cannot_be_captured_are_refused(factory: str, name: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        create(f"{factory}:detector", input_size=(3, 32, 32), submodule=name)


def test_a_reference_without_an_input_size_asks_for_one(factory: str) -> None:
    with pytest.raises(ModelError, match="--input-size"):
        create(f"{factory}:detector")


@pytest.mark.slow
def test_the_backbone_of_a_published_detector() -> None:
    program = create("torchvision:ssdlite320_mobilenet_v3_large", submodule="backbone")
    smaller = compress.prune(program, "macs=0.6").program
    assert smaller.outputs == program.outputs


def test_files_that_hold_no_network_are_refused_in_one_line(tmp_path: Path) -> None:
    contents = {"empty.pt": b"", "text.pt": b"not a network\n", "cut.pt2": b"PK\x03\x04", "text.safetensors": b"abc"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for path in (*(tmp_path / name for name in contents), tmp_path, tmp_path / "nothing.pt"):
        with pytest.raises(CheckpointError) as caught:
            compress.load(path)
        assert "\n" not in str(caught.value)
        assert path.name in str(caught.value)


def test_a_pickled_module_needs_trust_and_an_input_size(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 1))
    torch.save(module, tmp_path / "whole.pt")
    with pytest.raises(CheckpointError, match="--trust-checkpoint"):
        compress.load(tmp_path / "whole.pt")
    with pytest.raises(ModelError, match="--input-size"):
        compress.load(tmp_path / "whole.pt", trust_checkpoint=True)
    program = compress.load(tmp_path / "whole.pt", trust_checkpoint=True, input_size=(3, 8, 8))
    assert equal(program, module)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared checkpoints are not here")
def test_a_published_checkpoint_is_recognised_and_pruned() -> None:
    said: list[str] = []
    program = compress.load(SHARED / "resnet20-12fca82f.th", say=said.append)
    assert any("resnet20" in line for line in said)
    assert program.count().macs == 40_551_040
    result = compress.prune(program)
    assert abs(result.program.count().macs / program.count().macs - 0.5) <= 0.01
