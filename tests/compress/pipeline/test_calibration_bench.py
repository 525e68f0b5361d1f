"""Real files on the real runtime, taken apart into layers; no time is asserted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import compress
import exporters
from compress.axes.analysis import analyse
from compress.axes.randomise import randomised
from compress.errors import CompressError, InputError
from compress.latency.layers import Layers
from compress.pipeline.calibration_bench import Bench, Conditions, Ratio, by_layer
from deploy.records import OperatorTime
from tests.compress import families


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A network with branches, gates and sums, and the names of its layers."""
    torch.manual_seed(0)
    program = randomised(compress.capture(families.efficientnet_b(), (torch.zeros(1, 3, 64, 64),)))
    path = tmp_path_factory.mktemp("exported") / "dense.onnx"
    exporters.to_onnx(program, path)
    return path, [layer.name for layer in Layers(analyse(program)).layers]


def _silent(_share: float, _text: str) -> None:
    pass


def test_every_layer_has_a_share_of_the_time(exported: tuple[Path, list[str]], tmp_path: Path) -> None:
    dense, names = exported
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(dense.read_bytes())
    bench = Bench(Conditions(seconds=0.1), names)
    found = bench.measure(dense, [copy], apart=True, seed=0, progress=_silent)
    (one,) = found.found
    assert isinstance(one, Ratio)
    assert set(one.shares) == set(names)
    assert sum(one.shares.values()) == pytest.approx(1.0)
    assert min(one.shares.values()) > 0
    assert found.milliseconds > 0
    assert 0.3 < one.ratio < 3, "a file beside itself"


def test_a_file_that_does_not_run_is_told_and_the_others_are_measured(
    exported: tuple[Path, list[str]], tmp_path: Path
) -> None:
    dense, names = exported
    broken, whole = tmp_path / "broken.onnx", tmp_path / "whole.onnx"
    broken.write_bytes(dense.read_bytes()[:1000])
    whole.write_bytes(dense.read_bytes())
    bench = Bench(Conditions(seconds=0.05), names)
    found = bench.measure(dense, [broken, whole], apart=False, seed=0, progress=_silent)
    assert isinstance(found.found[0], str)
    assert isinstance(found.found[1], Ratio)
    assert found.found[1].shares == {}
    with pytest.raises(InputError, match="cannot run the dense network"):
        bench.measure(broken, [whole], apart=False, seed=0, progress=_silent)


def test_a_runtime_that_is_not_here_is_told(exported: tuple[Path, list[str]]) -> None:
    dense, names = exported
    with pytest.raises(CompressError) as told:
        Bench(Conditions(runtime="onnxruntime-coreml"), names).measure(dense, [], apart=True, seed=0, progress=_silent)
    assert told.value.exit_code == 4


def _operator(milliseconds: float, nodes: list[str], layers: list[str]) -> OperatorTime:
    return OperatorTime(name="x", kind="x", milliseconds=milliseconds, nodes=nodes, layers=layers)


def test_operators_without_a_layer_go_to_who_reads_them(exported: tuple[Path, list[str]]) -> None:
    """Of the first block: the stem, its activation, and the depthwise convolution that reads that."""
    dense, names = exported
    found = by_layer(
        [
            _operator(1, [], []),  # put in by the runtime: to what comes next
            _operator(2, ["features.0.0/Conv"], ["features.0.0"]),
            _operator(4, ["features.0.2/Sigmoid"], ["features.0.2"]),
            _operator(8, ["features.1.0.block.0.0/Conv"], ["features.1.0.block.0.0"]),
            _operator(16, [], []),  # and the last to what came before
        ],
        dense,
        frozenset(names),
    )
    assert found == pytest.approx({"features.0.0": 3 / 31, "features.1.0.block.0.0": 28 / 31})
    with pytest.raises(InputError, match="no operator of the runtime could be put down"):
        by_layer([_operator(1, [], [])], dense, frozenset(names))


def test_what_fuses_several_layers_counts_for_each(exported: tuple[Path, list[str]]) -> None:
    dense, names = exported
    both = _operator(2, ["features.0.0/Conv"], ["features.0.0", "features.1.0.block.0.0"])
    assert by_layer([both], dense, frozenset(names)) == {"features.0.0": 0.5, "features.1.0.block.0.0": 0.5}
