"""JCW's encoding on the networks of the paper: numbers of decisions, widths, and the multiply-accumulates left."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import compress
import models
from compress.axes.surgery import remove
from compress.errors import PlanError
from compress.program import Program
from compress.search.encoding import Encoding, WidthGene, encoding_of
from compress.sparsity.densities import masks_of

SIZE = 64


def _captured(reference: str, size: int = SIZE) -> Program:
    return compress.capture(models.create(reference), (torch.zeros(1, 3, size, size),))


@pytest.fixture(scope="module")
def resnet18() -> Program:
    return _captured("torchvision:resnet18", 224)


PAPER_WIDTHS = {"*": 0.5, "conv1": 0.9, "layer?.0.conv2": 0.9, "layer[234].0.conv1": 0.6}
STRIDED = ["conv1", "layer[234].0.conv1", "layer[234].0.downsample.0", "layer4.1.conv2"]


@pytest.fixture(scope="module")
def encoding(resnet18: Program) -> Encoding:
    """With the bounds of the paper's ResNet-18 search."""
    return encoding_of(resnet18, width_bounds=PAPER_WIDTHS, density_bounds={"*": 0.3, **dict.fromkeys(STRIDED, 0.8)})


def test_decisions_of_resnet18(encoding: Encoding) -> None:
    assert (len(encoding.widths), len(encoding.densities)) == (12, 20)
    # In the order of the graph, where a stage's first inner width comes before the stage's own.
    np.testing.assert_allclose(encoding.grid.low[:12], [0.9, 0.5, 0.5, 0.6, 0.9, 0.5, 0.6, 0.9, 0.5, 0.6, 0.9, 0.5])
    assert np.isclose(encoding.grid.low[12:], 0.8).sum() == 8


@pytest.mark.parametrize(
    ("reference", "widths", "densities"), [("models:mobilenetv1", 14, 14), ("torchvision:mobilenet_v2", 25, 35)]
)
def test_decisions_of_mobilenets(reference: str, widths: int, densities: int) -> None:
    found = encoding_of(_captured(reference))
    assert (len(found.widths), len(found.densities)) == (widths, densities)


def test_all_ones_is_the_network_itself(encoding: Encoding) -> None:
    whole = encoding.decode(np.ones(32))
    assert encoding.plan(whole).groups == {}
    assert set(whole.densities.values()) == {1.0}


def test_macs_at_the_lower_bounds(resnet18: Program, encoding: Encoding) -> None:
    def convolutions(program: Program) -> int:
        return sum(layer.macs for layer in program.count().layers if layer.kind.startswith("conv"))

    assert convolutions(resnet18) == 1_813_561_344
    lowest = encoding.decode(encoding.grid.low)
    small = remove(encoding.analysis, encoding.plan(lowest).validated(encoding.analysis))
    assert convolutions(small) == 947_355_808
    density = {gene.layer: lowest.densities[gene.weight] for gene in encoding.densities}
    left = sum(layer.macs * density[layer.name] for layer in small.count().layers if layer.kind.startswith("conv"))
    assert round(left) == 422_371_846


@given(st.integers(1, 600), st.sampled_from([1, 2, 4, 8, 32]), st.floats(0, 1))
def test_widths_are_fours_within_the_network(atoms: int, cell: int, ratio: float) -> None:
    kept = WidthGene("g", ("g",), atoms, cell).kept(ratio)
    assert 1 <= kept <= atoms
    assert (kept * cell) % 4 == 0 or kept == atoms
    assert WidthGene("g", ("g",), atoms, cell).kept(1.0) >= kept


def test_encoding_and_decoding_agree(encoding: Encoding) -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        candidate = encoding.decode(encoding.grid.sample(random))
        assert encoding.decode(encoding.encode(candidate)) == candidate


def _independent(widths: list[int]) -> nn.Sequential:
    first, second = widths
    return nn.Sequential(
        nn.Conv2d(3, first, 3, padding=1), nn.BatchNorm2d(first), nn.ReLU(),
        nn.Conv2d(first, second, 3, padding=1, bias=False), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(second, 5),
    )  # fmt: skip


def test_a_sliced_candidate_is_the_small_network_with_copied_weights() -> None:
    torch.manual_seed(0)
    dense = _independent([16, 24])
    program = compress.capture(dense, (torch.zeros(1, 3, 12, 12),))
    encoding = encoding_of(program, lowest_width=0.1)
    candidate = encoding.decode(np.array([0.5, 0.3, 1.0, 1.0]))
    assert list(candidate.widths.values()) == [8, 8]
    sliced = remove(encoding.analysis, encoding.plan(candidate).validated(encoding.analysis))
    small = _independent([8, 8])
    weights = {
        name: value[tuple(slice(size) for size in small.state_dict()[name].shape)]
        for name, value in dense.state_dict().items()
    }
    small.load_state_dict(weights)
    x = torch.randn(2, 3, 12, 12)
    torch.testing.assert_close(sliced.module(training=False)(x), small.eval()(x), atol=1e-6, rtol=1e-6)


def test_masks_keep_the_largest_blocks_of_four_outputs() -> None:
    torch.manual_seed(0)
    program = compress.capture(_independent([16, 24]), (torch.zeros(1, 3, 12, 12),))
    weight = program.tensors["3.weight"]
    for density in (0.01, 0.3, 0.5, 0.77):
        kept = masks_of(program, {"3.weight": density})["3.weight"].kept
        blocks = kept.reshape(6, 4, 16, 9)
        assert (blocks.all(dim=1) == blocks.any(dim=1)).all()
        assert int(blocks[:, 0].sum()) == max(1, round(density * 6 * 16 * 9))
        norms = weight.detach().double().reshape(6, 4, 16, 9).abs().sum(dim=1)
        assert norms[blocks[:, 0]].min() >= norms[~blocks[:, 0]].max()


def test_equal_blocks_are_kept_in_order_and_the_same_way_every_time() -> None:
    program = compress.capture(_independent([16, 24]), (torch.zeros(1, 3, 12, 12),))
    program.tensors["3.weight"].data.fill_(1.0)
    first, again = (masks_of(program, {"3.weight": 0.25})["3.weight"].kept for _ in range(2))
    assert torch.equal(first, again)
    assert first[:4].any()
    assert not first[8:].any()


def test_what_cannot_be_searched_is_refused(resnet18: Program) -> None:
    with pytest.raises(PlanError, match="matches no layer"):
        encoding_of(resnet18, ignore=("nothing*",))
    with pytest.raises(PlanError, match="not above 0"):
        encoding_of(resnet18, width_bounds={"conv1": 0.0})
    with pytest.raises(PlanError, match="nothing is left"):
        encoding_of(resnet18, ignore=("*",))
    with pytest.raises(PlanError, match="does not encode"):
        encoding_of(resnet18).decode(np.ones(3))
    with pytest.raises(PlanError, match="no weight that can be masked"):
        masks_of(resnet18, {"bn1.weight": 0.5})
    with pytest.raises(PlanError, match="density"):
        masks_of(resnet18, {"conv1.weight": 1.5})
