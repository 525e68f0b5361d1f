"""The ladder's driver: real processes on a small network, rows that can be resumed, the table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import compress
from benchmarks.ladder import rows
from benchmarks.ladder.references import references, submodule
from benchmarks.ladder.settling import settled
from benchmarks.ladder.table import BEGIN, END, table, write_into
from compress.errors import InputError

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "prunability.py"


@pytest.fixture(scope="module")
def climbed() -> dict[str, Any]:
    """The row of a small network's engine and file rungs without the engine compile, from a process of its own."""
    from benchmarks.ladder.processes import run_limited, server

    rungs = ("captured", "pruned", "trained", "reloaded", "onnx")
    return run_limited(server(), "compress", "models:resnet20", rungs, seconds=300, megabytes=8000)


def test_a_network_climbs_in_a_process_of_its_own(climbed: dict[str, Any]) -> None:
    assert climbed["failed"] == {}
    assert climbed["rungs"] == ["captured", "pruned", "trained", "reloaded", "onnx"]
    assert abs(climbed["macs"] - 0.5) <= 0.01
    assert 0 < climbed["onnx_error"] <= climbed["onnx_allowed"]
    assert climbed["peak_mb"] > 100
    assert climbed["versions"]["torch"] == torch.__version__
    assert set(climbed["cpu_seconds"]) == set(climbed["rungs"])


@pytest.mark.parametrize(
    ("seconds", "megabytes", "reason"), [(0.0, 8000, "over the limit of 0 CPU s"), (300.0, 1, "over the limit of 1 MB")]
)
def test_a_network_over_a_limit_is_ended_and_says_where(seconds: float, megabytes: int, reason: str) -> None:
    from benchmarks.ladder.processes import run_limited, server

    rungs = ("captured", "pruned")
    row = run_limited(server(), "compress", "models:resnet20", rungs, seconds=seconds, megabytes=megabytes)
    assert [why for why in row["failed"].values() if reason in why]
    assert "pruned" not in row["rungs"]


def test_a_rung_that_fails_leaves_out_only_what_needs_it(climbed: dict[str, Any]) -> None:
    from benchmarks.ladder.processes import run_limited, server

    row = run_limited(server(), "compress", "torchvision:nothing", ("captured", "onnx"), seconds=300, megabytes=8000)
    assert "ModelError" in row["failed"]["captured"]
    assert set(row["failed"]) == {"captured"}


def test_rows_are_resumed_replaced_and_compacted(tmp_path: Path) -> None:
    path = tmp_path / "compress.jsonl"
    rows.append(path, {"ref": "timm:b", "rungs": ["captured"], "failed": {"pruned": "why"}})
    rows.append(path, {"ref": "timm:a", "rungs": ["captured"], "failed": {}})
    rows.append(path, {"ref": "timm:b", "rungs": ["captured", "pruned"], "failed": {}})
    found = rows.read(path)
    assert not rows.is_complete(found["timm:a"], ("captured", "pruned"))
    assert rows.is_complete(found["timm:b"], ("captured", "pruned"))
    rows.compact(path)
    assert [json.loads(line)["ref"] for line in path.read_text().splitlines()] == ["timm:a", "timm:b"]
    assert rows.read(path) == found


def test_the_table_counts_each_zoo_and_names_each_exception(tmp_path: Path, climbed: dict[str, Any]) -> None:
    whole = ["captured", "pruned", "proven", "trained", "reloaded", "onnx", "tensorrt"]
    rows.append(tmp_path / "compress.jsonl", climbed | {"ref": "torchvision:x", "rungs": whole})
    failed = {"onnx": "ExportError: /srv/me/x/file aten.nonzero | is not supported"}
    rows.append(tmp_path / "compress.jsonl", climbed | {"ref": "timm:y", "rungs": whole[:5], "failed": failed})
    text = table(tmp_path)
    assert "| torchvision | 1 | 1 | 1 | 1 | 1 | 1 | 1 | 1 | 1 (100.0 %) |" in text
    assert "| timm | 1 | 1 | 1 | 1 | 1 | 1 | 0 | 0 | 0 (0.0 %) |" in text
    assert "aten.nonzero \\| is not supported" in text
    assert "/srv/me" not in text
    assert "+ + + + + **x** ·" in text
    page = tmp_path / "page.md"
    page.write_text(f"above\n{BEGIN}\nold\n{END}\nbelow\n")
    write_into(page, tmp_path)
    write_into(page, tmp_path)
    assert page.read_text() == f"above\n{BEGIN}\n\n{text}\n{END}\nbelow\n"
    page.write_text("no marks")
    with pytest.raises(InputError, match="no place for the table"):
        write_into(page, tmp_path)


def test_every_zoo_is_covered_and_only_detectors_are_cut_to_their_backbone() -> None:
    found = references()
    assert len(found) == len(set(found))
    assert {"torchvision:resnet18", "torchvision:vit_h_14", "torchvision:r3d_18", "torchvision:raft_small"} <= set(
        found
    )
    assert not [ref for ref in found if "quantized" in ref]
    assert sum(ref.startswith("timm:") for ref in found) > 90
    assert submodule("torchvision:fasterrcnn_resnet50_fpn") == "backbone"
    assert submodule("torchvision:resnet18") is None


def test_settled_batch_norms_hold_the_statistics_of_their_inputs() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 4, 3), nn.BatchNorm2d(4))
    program = settled(compress.capture(layers, (torch.randn(2, 3, 12, 12),)))
    with torch.no_grad():
        outputs = program.module()(*program.example_inputs(batch=4))
    scale, shift = program.tensors["3.weight"], program.tensors["3.bias"]
    assert scale.unique().numel() == 4
    torch.testing.assert_close(outputs.mean((0, 2, 3)), shift.detach(), atol=1e-3, rtol=0)
    torch.testing.assert_close(outputs.std((0, 2, 3)), scale.detach(), atol=0.05, rtol=0)


def test_settled_networks_have_no_layer_that_hides_the_ones_before_it() -> None:
    last = nn.Linear(8, 3)
    nn.init.zeros_(last.weight)
    layers = nn.Sequential(nn.Linear(4, 8), last)
    program = settled(compress.capture(layers, (torch.randn(2, 4),)))
    with torch.no_grad():
        first, second = program.module()(*program.example_inputs())
    assert not torch.equal(first, second)


def test_output_layers_are_found_behind_norms_and_through_shortcuts() -> None:
    pytest.importorskip("torch_pruning")
    from benchmarks.ladder.torch_pruning_column import output_layers

    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.inner, self.outer = nn.Linear(4, 6), nn.Linear(6, 8), nn.Linear(8, 6)
            self.norm = nn.LayerNorm(6)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.stem(x)
            return self.norm(y + self.outer(torch.relu(self.inner(y))))

    module = Residual()
    assert set(output_layers(module, [module(torch.randn(2, 4))])) == {module.stem, module.outer}


def test_the_script_says_what_it_does_and_refuses_an_unknown_column() -> None:
    found = subprocess.run(
        [sys.executable, str(SCRIPT), "--column", "other"], capture_output=True, text=True, check=False
    )
    assert found.returncode == 2
    assert "invalid choice: 'other'" in found.stderr
