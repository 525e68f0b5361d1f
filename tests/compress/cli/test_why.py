"""``compress why`` on a real network and what was made of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deploy.report import read_json
from deploy.why import Explanation
from tests.compress.cli.calling import Cli

QUICK = ("--seconds", "1")


def test_layers_of_a_pruned_network_beside_those_of_the_dense_one(cli: Cli, pair: tuple[Path, Path]) -> None:
    found = cli("why", *pair, *QUICK, "--json")
    assert found.code == 0, found.err
    told = Explanation.model_validate(found.data)
    assert told.base_macs is not None
    assert told.new_macs is not None
    assert 0.4 < told.new_macs / told.base_macs < 0.6
    counted = [row for row in told.rows if row.base and row.new and row.base.macs]
    assert len(counted) >= 5
    assert all((row.new.macs or 0) <= (row.base.macs or 0) for row in counted if row.new and row.base)


def test_it_reads_as_a_verdict_a_table_and_what_to_do(cli: Cli, pair: tuple[Path, Path]) -> None:
    found = cli("why", *pair, *QUICK, "--all", "-o", "why.html", "-o", "why.md", "-o", "why.json")
    assert found.code == 0, found.err
    assert found.out.startswith("net.pruned.onnx is ")
    assert "of the MACs" in found.out
    assert "remarks" in found.out
    assert "weighed: " in found.out
    assert read_json("why.json").why is not None
    for name in ("why.html", "why.md"):
        assert "net.pruned.onnx" in Path(name).read_text()
    cli("why", *pair, *QUICK, "-o", "why.md").refused("why.md", "--force")


def test_what_cannot_be_compared_is_refused(cli: Cli, pair: tuple[Path, Path], tmp_path: Path) -> None:
    cli("why", pair[0], "nowhere.onnx").refused("nowhere.onnx", "does not exist")
    cli("why", pair[0], pair[0].with_name("net.pt2")).refused("net.pt2", "compress export")
    cli("why", *pair, "--runtime", "onnxruntime-coreml").refused("onnxruntime-coreml", code=4)
    shutil.copy(pair[0], tmp_path / "half.onnx")
    (tmp_path / "half.onnx").write_bytes(pair[0].read_bytes()[:500])
    cli("why", pair[0], "half.onnx").refused("half.onnx")


@pytest.mark.slow
def test_sparse_operators_count_their_stored_weights(cli: Cli, weights: Path) -> None:
    assert cli("prune", weights, "--sparsity", "0.9", "--pattern", "4x1", "-o", "zeros.pt2").code == 0
    assert cli("export", "zeros.pt2", "--onnx", "--sparse").code == 0
    found = cli("why", "zeros.onnx", "zeros.sparse.onnx", *QUICK, "--json")
    assert found.code == 0, found.err
    told = Explanation.model_validate(found.data)
    sparse = [row.new for row in told.rows if row.new and row.new.sparse]
    assert sparse
    assert told.base_macs is not None
    assert told.new_macs is not None
    assert told.new_macs < 0.5 * told.base_macs
    assert "stored weights" in told.verdict
