"""Widths of layers are those that slicing gives; kinds say what a layer's time depends on."""

from __future__ import annotations

import numpy as np
import pytest

from compress.axes.analysis import Analysis, analyse
from compress.axes.surgery import remove
from compress.counting import LINEAR
from compress.latency.layers import Layers, calls_of
from tests.compress.latency.conftest import captured

FAMILIES = [
    "resnet_basic",
    "resnet_bottleneck",
    "resnext",
    "mobilenet_v2",
    "efficientnet_b",
    "dense",
    "squeezenet",
    "regnet_y",
]


def _after_slicing(analysis: Analysis, widths: np.ndarray) -> list[tuple[str, int, int]]:
    """What the sliced network's own graph says: weight, output and input channels of what its layers make and read."""
    keep = {group.name: np.arange(width) for group, width in zip(analysis.prunable, widths.tolist(), strict=True)}
    smaller = analyse(remove(analysis, keep))
    found = []
    for weight, nodes in calls_of(smaller.program).items():
        at = -1 if nodes[0].target in LINEAR else 1
        shapes = smaller.running.shapes
        found.append((weight, shapes[nodes[0]][at], shapes[nodes[0].args[0]][at]))
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_widths_are_those_of_the_sliced_network(family: str) -> None:
    analysis = analyse(captured(family))
    layers = Layers(analysis)
    random = np.random.default_rng(0)
    full = np.array([group.width for group in analysis.prunable])
    choices = np.stack([full, random.integers(1, full + 1), random.integers((full + 1) // 2, full + 1)])
    for row, widths in enumerate(choices):
        found = layers.widths(choices)[row]
        for layer, (made, read), (weight, outputs, inputs) in zip(
            layers.layers, found, _after_slicing(analysis, widths), strict=True
        ):
            assert layer.weight == weight
            assert made == outputs
            assert read == (1 if layer.depthwise else inputs)


def test_kinds_tell_apart_what_takes_its_own_time(inverted: Analysis) -> None:
    kinds = {layer.name: layer.kind for layer in Layers(inverted).layers}
    stem, depthwise = kinds["features.0.0"], kinds["features.1.conv.0.0"]
    assert stem == "convolution 3x3 stride 2x2 on 64x64 to 32x32; into hardtanh"
    assert depthwise.startswith("depthwise convolution 3x3 on 32x32 to 32x32 with hardtanh")
    assert kinds["classifier.1"].startswith("linear on 1 rows with")
    assert sum(layer.depthwise for layer in Layers(inverted).layers) == 5


def test_layers_that_differ_in_nothing_but_widths_are_of_one_kind() -> None:
    kinds = [layer.kind for layer in Layers(analyse(captured("resnet20_b", 32))).layers]
    assert kinds.count("convolution 3x3 on 16x16 to 16x16 with relu; into add") == 3
    assert len(set(kinds)) < len(kinds)
    assert kinds == [layer.kind for layer in Layers(analyse(captured("resnet20_b", 32))).layers]


def test_what_is_pooled_before_a_layer_is_told_with_its_size() -> None:
    """Squeeze-and-excite layers of all stages read one pixel; what is pooled for them takes hundreds of times more."""
    layers = Layers(analyse(captured("efficientnet_b"))).layers
    squeezes = {
        layer.kind for layer in layers if "convolution 1x1 on 1x1 to 1x1 with adaptive_avg_pool2d" in layer.kind
    }
    assert len(squeezes) > 1
    assert all("silu on " in kind for kind in squeezes)
    assert "linear on 1 rows with adaptive_avg_pool2d on " in layers[-1].kind
