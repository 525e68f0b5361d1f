"""From a checkpoint to times of its layers: real exports, in every runtime that is here and reads ONNX files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import compress
import exporters
import models
from deploy import runtimes
from deploy.feeds import make_feeds

READERS = [name for name in runtimes.available() if ".onnx" in runtimes.get(name).suffixes]


def exported(reference: str, folder: Path) -> tuple[Path, set[str]]:
    """The network with random parameters, none equal to another, as ONNX; and the names of its weighty layers."""
    torch.manual_seed(0)
    module = models.create(reference).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    size = models.default_input(reference)
    assert size is not None
    program = compress.capture(module, (torch.randn(2, *size),))
    exporters.to_onnx(program, folder / "net.onnx")
    kinds = (torch.nn.Conv2d, torch.nn.Linear)
    return folder / "net.onnx", {name for name, child in module.named_modules() if isinstance(child, kinds)}


@pytest.mark.parametrize(
    "reference",
    [
        "models:digitsnet",
        pytest.param("torchvision:resnet18", marks=pytest.mark.slow),
        pytest.param("torchvision:mobilenet_v2", marks=pytest.mark.slow),
        pytest.param("timm:test_efficientnet", marks=pytest.mark.slow),
        pytest.param("timm:test_vit", marks=pytest.mark.slow),
    ],
)
def test_every_layer_of_the_checkpoint_has_its_time(reference: str, tmp_path: Path) -> None:
    path, layers = exported(reference, tmp_path)
    for name in READERS:
        session = runtimes.get(name).load(path, threads=1)
        found = session.operator_times(make_feeds(session, batch=1), runs=3)
        timed = {layer for operator in found for layer in operator.layers if operator.milliseconds > 0}
        assert layers <= timed, name
        once = [layer for operator in found for layer in operator.layers if layer in layers]
        # A layer is at most two operators: the product, and its bias where the runtime adds it apart.
        assert not [layer for layer in layers if once.count(layer) > 2], name
