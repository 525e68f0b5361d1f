"""MobileNetV1 has the published sizes."""

from __future__ import annotations

import pytest
import torch

import compress
import models
from compress.errors import CompressError


@pytest.mark.parametrize(
    ("width", "params", "macs"), [(1.0, 4_231_976, 568_740_352), (0.5, 1_331_592, 149_497_088)], ids=["1.0", "0.5"]
)
def test_has_the_published_parameters_and_macs(width: float, params: int, macs: int) -> None:
    network = models.create(f"models:mobilenetv1?width={width}")
    count = compress.capture(network, (torch.zeros(2, *models.default_input("models:mobilenetv1")),)).count()
    assert (count.params, count.macs) == (params, macs)


def test_a_width_that_is_none_is_refused() -> None:
    with pytest.raises(CompressError, match="width must be positive"):
        models.create("models:mobilenetv1?width=0.0")


def test_narrow_ones_keep_eight_channels() -> None:
    network = models.create("models:mobilenetv1?width=0.1&num_classes=3")
    assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 3)
