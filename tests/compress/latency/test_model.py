"""What a bound model says of a network, and what it refuses."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from compress.axes.analysis import Analysis, analyse
from compress.errors import CompressError, InputError
from compress.latency import LatencyModel
from compress.latency.layers import Layers
from compress.latency.record import KindRecord
from tests.compress.latency import synthetic
from tests.compress.latency.conftest import captured
from tests.compress.latency.synthetic import blocked, calibrated, space_of


def _linear(analysis: Analysis, *, densities: bool = False) -> LatencyModel:
    """Tables of a cost that is linear in each axis: 1 + out + in / 10 + density, for every kind of layer."""
    axes: tuple[list[float], list[float], list[float]] = ([1, 2000], [1, 2000], [0.1, 1.0])
    values = [1 + made + read / 10 + density for made in axes[0] for read in axes[1] for density in axes[2]]
    kind = KindRecord(axes=axes, milliseconds=values, samples=[(1, 1, 1, 1, 0.1)])
    kinds = {layer.kind: kind for layer in Layers(analysis).layers}
    return LatencyModel(synthetic.record_of(kinds, synthetic.SPARSE_KEY if densities else synthetic.KEY))


def test_latency_is_the_sum_of_the_layers_tables(inverted: Analysis) -> None:
    bound = _linear(inverted).bind(inverted)
    choices = space_of(inverted).draw(20, seed=0)
    widths = Layers(inverted).widths(choices.widths)
    expected = (2 + widths[:, :, 0] + widths[:, :, 1] / 10).sum(axis=1)
    np.testing.assert_allclose(bound.milliseconds(choices.widths), expected)
    assert bound.groups == tuple(group.name for group in inverted.prunable)
    assert bound.dense == pytest.approx(float(bound.milliseconds(np.array([g.width for g in inverted.prunable]))[0]))


def test_parts_sum_to_the_whole_and_name_the_layers(inverted: Analysis) -> None:
    bound = _linear(inverted).bind(inverted)
    widths = space_of(inverted).draw(1, seed=3).widths[0]
    parts = bound.parts(widths)
    assert sum(took for _, took in parts) == pytest.approx(float(bound.milliseconds(widths)[0]))
    assert [name for name, _ in parts] == [layer.name for layer in Layers(inverted).layers]


def test_densities_count_where_zeros_were_calibrated(inverted: Analysis) -> None:
    bound = _linear(inverted, densities=True).bind(inverted)
    full = np.array([[group.width for group in inverted.prunable]])
    everything = Layers(inverted).layers
    others = [layer.weight for layer in everything[:-1] if not layer.depthwise]
    assert list(bound.layers) == others, "neither depthwise layers nor the last"
    half = bound.milliseconds(full, np.full((1, len(others)), 0.5))
    assert bound.dense - half[0] == pytest.approx(0.5 * len(everything)), "those count by what they read"
    first = np.ones(len(others))
    first[0] = 0.5
    assert bound.dense - float(bound.milliseconds(full, first)[0]) == pytest.approx(2 * 0.5), "and what reads it"
    dense = _linear(inverted).bind(inverted)
    assert dense.layers == ()
    with pytest.raises(InputError, match="calibrated for dense weights"):
        dense.milliseconds(full, np.full((1, len(others)), 0.5))


def test_a_thousand_candidates_take_little_time(inverted: Analysis) -> None:
    bound = _linear(inverted, densities=True).bind(inverted)
    widths = space_of(inverted).draw(1000, seed=0).widths
    densities = np.full((1000, len(bound.layers)), 0.3)
    began = time.perf_counter()
    each = [float(bound.milliseconds(widths[row], densities[row])[0]) for row in range(20)]
    one_by_one = (time.perf_counter() - began) / 20
    began = time.perf_counter()
    at_once = bound.milliseconds(widths, densities)
    assert (time.perf_counter() - began) < 200 * one_by_one, "a thousand at once cost much less than one by one"
    np.testing.assert_allclose(at_once[:20], each)


def test_nothing_is_extrapolated(inverted: Analysis) -> None:
    bound = calibrated(inverted).bind(inverted)
    full = np.array([group.width for group in inverted.prunable])
    with pytest.raises(InputError, match=r"layer features\S* .*channels of \d+ are outside what was measured"):
        bound.milliseconds(np.maximum(full // 16, 1))
    with pytest.raises(InputError, match="more than all of its atoms"):
        bound.milliseconds(full + 1)
    with pytest.raises(InputError, match=f"{len(full)} widths of groups are needed, 1 were given"):
        bound.milliseconds(np.array([[4]]))


def test_kinds_that_are_missing_are_named(inverted: Analysis, residual: Analysis) -> None:
    model = calibrated(inverted)
    with pytest.raises(CompressError, match=r"not calibrated for layers of this network: convolution 7x7.*--update"):
        model.bind(residual)


def test_a_network_of_the_same_layers_needs_no_calibration_of_its_own(inverted: Analysis) -> None:
    other = analyse(captured("mobilenet_v2"))
    choices = space_of(other).draw(30, seed=5)
    bound = calibrated(inverted).bind(other)
    true = blocked(
        np.concatenate([Layers(other).widths(choices.widths), np.ones((30, len(Layers(other).layers), 1))], axis=2)
    ).sum(axis=1)
    assert np.median(np.abs(bound.milliseconds(choices.widths) / true - 1)) < 0.05


def test_a_file_says_the_same_again(inverted: Analysis, tmp_path: Path) -> None:
    model = calibrated(inverted, sparse=True)
    path = tmp_path / "cpu.latency.json"
    model.save(path)
    again = LatencyModel.load(path)
    assert again.key == model.key
    assert again.held_out == model.held_out
    choices = space_of(inverted, sparse=True).draw(10, seed=0)
    np.testing.assert_array_equal(
        again.bind(inverted).milliseconds(choices.widths, choices.densities),
        model.bind(inverted).milliseconds(choices.widths, choices.densities),
    )


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"threads": 2}, "calibrated for threads 1, not 2"),
        ({"runtime": "openvino"}, "calibrated for runtime onnxruntime-cpu, not openvino"),
        ({"batch": 8}, "batch 1, not 8"),
        ({"version": "2.0"}, "version 1.0, not 2.0"),
    ],
)
def test_other_conditions_are_refused(inverted: Analysis, wanted: dict[str, object], words: str) -> None:
    model = _linear(inverted)
    model.require(runtime="onnxruntime-cpu", threads=1, batch=1)
    with pytest.raises(InputError, match=words):
        model.require(**wanted)  # type: ignore[arg-type]
