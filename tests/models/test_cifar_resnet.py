"""The CIFAR networks against trained checkpoints, where they are at hand, and against their definition."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import models

SHARED = Path(__file__).resolve().parents[3] / "shared"
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
IMAGES_PER_CLASS = 40


def checkpoint(file: str) -> dict[str, Tensor]:
    path = SHARED / "checkpoints" / file
    if not path.is_file():
        pytest.skip(f"needs ../shared/checkpoints/{file}, a trained network that is not part of the repository")
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    return {key.removeprefix("module."): value for key, value in state.items()}


@pytest.fixture(scope="module")
def test_images() -> tuple[Tensor, Tensor]:
    """Normalised test images (N, 3, 32, 32), as many of each class, and their labels (N,)."""
    archive = SHARED / "data" / "cifar10-jpeg.tar.xz"
    if not archive.is_file():
        pytest.skip("needs ../shared/data/cifar10-jpeg.tar.xz, images that are not part of the repository")
    recorded = models.preprocessing("models:resnet20")
    assert recorded is not None
    mean, std = (torch.tensor(recorded[key]).view(3, 1, 1) for key in ("mean", "std"))
    images, labels = [], []
    missing = dict.fromkeys(CLASSES, IMAGES_PER_CLASS)
    with tarfile.open(archive) as stream:
        for member in stream:
            split, _, rest = member.name.removeprefix("./").partition("/")
            name = rest.partition("/")[0]
            if split == "test" and member.isfile() and missing[name]:
                missing[name] -= 1
                content = stream.extractfile(member)
                assert content is not None
                with Image.open(io.BytesIO(content.read())) as image:
                    pixels = torch.frombuffer(bytearray(image.convert("RGB").tobytes()), dtype=torch.uint8)
                images.append((pixels.view(32, 32, 3).permute(2, 0, 1) / 255 - mean) / std)
                labels.append(CLASSES.index(name))
    assert not any(missing.values())
    return torch.stack(images), torch.tensor(labels)


# Measured on these 400 images: the networks were trained on lossless ones, where they reach 91.8 and 93.6 %.
@pytest.mark.parametrize(
    ("name", "file", "least"),
    [("resnet20", "resnet20-12fca82f.th", 0.77), ("resnet56", "resnet56-4bfd9763.th", 0.79)],
)
def test_trained_checkpoints_load_strictly_and_classify(
    name: str, file: str, least: float, test_images: tuple[Tensor, Tensor]
) -> None:
    module = models.create(f"models:{name}")
    module.load_state_dict(checkpoint(file), strict=True)
    images, labels = test_images
    with torch.inference_mode():
        accuracy = (module.eval()(images).argmax(1) == labels).double().mean().item()
    assert accuracy > least, accuracy
    assert accuracy < 0.95, "these images are recompressed: a higher score would mean that something else was measured"


@pytest.mark.parametrize(
    ("depth", "parameters"),
    # Table 6 of the paper: 0.27, 0.46, 0.66, 0.85 and 1.7 million.
    [(20, 269_722), (32, 464_154), (44, 658_586), (56, 853_018), (110, 1_727_962)],
)
def test_parameters_of_the_published_depths(depth: int, parameters: int) -> None:
    module = models.create(f"models:resnet{depth}")
    assert sum(tensor.numel() for tensor in module.parameters()) == parameters
    weighted = [m for m in module.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert len(weighted) == depth


def test_option_a_has_no_parameters_and_option_b_has() -> None:
    plain = set(models.create("models:resnet20").state_dict())
    projected = set(models.create("models:resnet20?shortcut=b").state_dict())
    assert plain < projected
    extra = {key.rpartition(".")[0] for key in projected - plain}
    assert extra == {f"layer{stage}.0.shortcut.{part}" for stage in (2, 3) for part in (0, 1)}


def test_option_a_is_identity_on_the_middle_channels() -> None:
    block = models.create("models:resnet8").get_submodule("layer2.0")
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()
        x = torch.rand(2, 16, 7, 8)
        out = block.eval()(x)
    assert out.shape == (2, 32, 4, 4)
    assert torch.equal(out[:, 8:24], x[:, :, ::2, ::2])
    assert not out[:, :8].any()
    assert not out[:, 24:].any()


@pytest.mark.parametrize("ref", ["models:resnet20", "models:resnet20?shortcut=b&width=8", "models:digitsnet"])
def test_captures_with_a_dynamic_batch(ref: str) -> None:
    module = models.create(ref).eval()
    example = torch.randn(2, *models.default_input(ref))
    program = torch.export.export(module, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    batch = torch.randn(5, *models.default_input(ref))
    assert torch.equal(program.module()(batch), module(batch))
