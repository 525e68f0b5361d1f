"""MobileNetV2 for CIFAR computes what torchvision's does once its strides are those for small pictures."""

from __future__ import annotations

import pytest
import torch

import compress
import models
from compress.errors import CompressError


def test_has_the_published_parameters() -> None:
    network = models.create("models:cifar_mobilenetv2")
    count = compress.capture(network, (torch.zeros(2, *models.default_input("models:cifar_mobilenetv2")),)).count()
    assert count.params == 2_236_682


@pytest.mark.parametrize("width", [1.0, 0.5, 0.35])
def test_equals_torchvisions_with_its_weights(width: float) -> None:
    models.torchvision_shim.ensure()
    from torchvision.models import MobileNetV2

    stages = [[1, 16, 1, 1], [6, 24, 2, 1], [6, 32, 3, 2], [6, 64, 4, 2], [6, 96, 3, 1], [6, 160, 3, 2], [6, 320, 1, 1]]
    other = MobileNetV2(num_classes=10, width_mult=width, inverted_residual_setting=stages).eval()
    other.features[0][0].stride = (1, 1)
    network = models.create(f"models:cifar_mobilenetv2?width={width}").eval()
    state = dict(zip(network.state_dict(), other.state_dict().values(), strict=True))
    network.load_state_dict(state)
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(network(x), other(x), atol=1e-5)


def test_a_width_that_is_none_is_refused() -> None:
    with pytest.raises(CompressError, match="width must be positive"):
        models.create("models:cifar_mobilenetv2?width=0.0")
