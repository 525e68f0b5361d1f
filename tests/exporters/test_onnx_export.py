"""A Program becomes an ONNX file that computes the same, or no file at all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import compress
import exporters
from compress.errors import ExportError, InputError
from compress.info import Preprocessing
from exporters import onnx_export
from exporters._runtime import Session
from tests.exporters import networks


@pytest.mark.parametrize("mobile", [False, True])
def test_export_is_valid_dynamic_folded_and_equal(tmp_path: Path, mobile: bool) -> None:
    program = networks.small(mobile=mobile)
    real = torch.rand(11, 3, 16, 16)
    artifact = exporters.to_onnx(program, tmp_path / "net.onnx", samples=real)

    model = onnx.load(artifact.path)
    onnx.checker.check_model(model, full_check=True)
    assert next(item.version for item in model.opset_import if item.domain == "") >= 18
    assert not [node.name for node in model.graph.node if node.op_type == "BatchNormalization"]
    assert [value.name for value in model.graph.input] == [spec.name for spec in program.inputs]
    assert [value.name for value in model.graph.output] == [spec.name for spec in program.outputs]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"

    figures = artifact.verification
    assert figures["samples"] == 11 + 1 + 3
    assert figures["real_samples"] == 11
    assert figures["batches"] == [1, 3]
    assert figures["max_error"] <= figures["allowed"]
    assert 0 < figures["float32_noise"] < 1e-5
    assert figures["conclusive"]

    (out,) = Session(artifact.path).run({program.inputs[0].name: real.numpy()})
    with torch.no_grad():
        expected = program.module(training=False)(real).numpy()
    np.testing.assert_allclose(out, expected, atol=1e-5)


def test_nodes_are_named_after_checkpoint_layers(small_onnx: Path) -> None:
    model = onnx.load(small_onnx)
    names = {node.name for node in model.graph.node}
    assert {"conv1/Conv", "layer1.conv2/Conv", "layer2.down.0/Conv", "linear/Gemm"} <= names
    assert len(names) == len(model.graph.node)
    layers = {node.name: prop.value for node in model.graph.node for prop in node.metadata_props}
    assert layers["layer1.conv2/Conv"] == "layer1.conv2"


def test_linear_layers_on_tokens_keep_their_layer(tmp_path: Path) -> None:
    """Their weight is transposed and loses its name; the layer is still known. Equal parameters name no layer."""
    block = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 8), nn.LayerNorm(8))
    program = compress.capture(block.eval(), (torch.randn(2, 5, 6),))
    layers = exporters.to_onnx(program, tmp_path / "tokens.onnx").metadata["layers"]
    assert {layers[name] for name in layers if name.endswith("/MatMul")} == {"0", "2"}
    assert not [name for name in layers if "LayerNorm" in name]


def test_what_the_exporter_puts_in_itself_belongs_to_no_layer(tmp_path: Path) -> None:
    class Classed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Parameter(torch.randn(1, 1, 8))
            self.fc = nn.Linear(8, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1))

    artifact = exporters.to_onnx(compress.capture(Classed(), (torch.randn(2, 5, 8),)), tmp_path / "net.onnx")
    names = [node.name for node in onnx.load(artifact.path).graph.node]
    assert "Shape" in names
    assert set(artifact.metadata["layers"].values()) == {"fc"}


def test_several_inputs_and_outputs_keep_their_names(tmp_path: Path) -> None:
    """An output may share its name with an inner value, be given twice, or be an input itself."""
    program = networks.two_in_two_out()
    artifact = exporters.to_onnx(program, tmp_path / "two.onnx", samples=(torch.rand(5, 6), torch.rand(5, 4)))
    assert artifact.metadata["inputs"] == [spec.name for spec in program.inputs]
    assert artifact.metadata["outputs"] == ["relu", "again", "given"]
    assert set(artifact.verification["outputs"]) == {"relu", "again", "given"}


def test_metadata_says_what_the_file_is(tmp_path: Path) -> None:
    program = networks.two_in_two_out()
    program.info.model_ref = "/srv/nets/mine.py:build?width=8"
    program.info.plan_sha256 = "ab" * 32
    program.info.classes = ["cat", "größer"]
    program.info.preprocessing = Preprocessing(mean=[0.5] * 3, std=[0.25] * 3, size=[16, 16], channels=3)
    artifact = exporters.to_onnx(program, tmp_path / "net.onnx")

    found = {item.key: item.value for item in onnx.load(artifact.path).metadata_props}
    assert found["compress.model_ref"] == "mine.py:build?width=8"
    assert found["compress.plan_sha256"] == "ab" * 32
    assert json.loads(found["compress.classes"]) == ["cat", "größer"]
    assert json.loads(found["compress.preprocessing"])["size"] == [16, 16]
    assert found["compress.tool_version"] == compress.__version__


def test_file_says_nothing_about_this_machine(small_onnx: Path) -> None:
    content = small_onnx.read_bytes()
    for trace in (b"stack_trace", b"site-packages", b".py", str(Path.cwd()).encode(), b"fx_node", b"/tmp/"):
        assert trace not in content


def test_same_program_gives_the_same_bytes(small_onnx: Path, tmp_path: Path) -> None:
    again = exporters.to_onnx(networks.small(), tmp_path / "again.onnx")
    assert again.path.read_bytes() == small_onnx.read_bytes()


def test_exporting_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    exporters.to_onnx(networks.two_in_two_out(), tmp_path / "two.onnx")
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_exporting_leaves_the_program_as_it_was(tmp_path: Path) -> None:
    program = networks.two_in_two_out()
    before = program.fingerprint()
    exporters.to_onnx(program, tmp_path / "net.onnx")
    assert program.fingerprint() == before


def _tampered(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], None]) -> None:
    real = onnx_export._serialisable

    def tamper(model: Any, where: str) -> onnx.ModelProto:
        proto = real(model, where)
        change(proto)
        return proto

    monkeypatch.setattr(onnx_export, "_serialisable", tamper)


def test_wrong_file_is_refused_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One bias off by a thousandth of the outputs' scale is found, and an existing file survives the refusal."""

    def nudge(proto: onnx.ModelProto) -> None:
        bias = next(item for item in proto.graph.initializer if item.name == "right.bias")
        array = onnx.numpy_helper.to_array(bias).copy()
        array[3] += 1e-3
        bias.CopyFrom(onnx.numpy_helper.from_array(array, bias.name))

    _tampered(monkeypatch, nudge)
    path = tmp_path / "net.onnx"
    path.write_bytes(b"the old file")
    with pytest.raises(ExportError, match="differs from the network") as caught:
        exporters.to_onnx(networks.two_in_two_out(), path, overwrite=True)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"the old file"
    assert list(tmp_path.iterdir()) == [path]


def test_invalid_graph_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _tampered(monkeypatch, lambda proto: proto.graph.node[0].input.__setitem__(0, "nowhere"))
    with pytest.raises(ExportError, match="not valid ONNX"):
        exporters.to_onnx(networks.two_in_two_out(), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_nan_weights_are_refused(tmp_path: Path) -> None:
    program = networks.two_in_two_out()
    with torch.no_grad():
        program.state_dict()["left.bias"][0] = float("nan")
    with pytest.raises(ExportError, match="NaN"):
        exporters.to_onnx(program, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_chaotic_network_is_judged_by_its_own_noise(tmp_path: Path) -> None:
    """float32 itself is off by far more than the floor here; the figures say that passing proves little."""

    class Chaos(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.sin(1e5 * self.linear(x))

    program = compress.capture(Chaos().eval(), (torch.randn(2, 8),))
    artifact = exporters.to_onnx(program, tmp_path / "chaos.onnx")
    assert artifact.verification["float32_noise"] > 1e-3
    assert not artifact.verification["conclusive"]
    assert artifact.metadata["notes"]


def test_over_two_gigabytes_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "LARGEST_BYTES", 100)
    with pytest.raises(ExportError, match="holds at most 2 GiB"):
        exporters.to_onnx(networks.two_in_two_out(), tmp_path / "net.onnx")


@pytest.mark.parametrize(
    "samples",
    [
        torch.rand(4, 3, 15, 16),
        torch.rand(4, 3, 16, 16, dtype=torch.float64),
        torch.rand(0, 3, 16, 16),
        (torch.rand(4, 3, 16, 16), torch.rand(4, 3, 16, 16)),
    ],
)
def test_samples_that_do_not_fit_are_named(tmp_path: Path, samples: Any) -> None:
    with pytest.raises(ExportError, match="samples"):
        exporters.to_onnx(networks.small(), tmp_path / "net.onnx", samples=samples)


def test_existing_file_and_missing_folder_are_refused_before_work(tmp_path: Path) -> None:
    present = tmp_path / "net.onnx"
    present.write_bytes(b"x")
    with pytest.raises(InputError, match="exists already"):
        exporters.to_onnx(networks.two_in_two_out(), present)
    with pytest.raises(InputError, match="folder does not exist"):
        exporters.to_onnx(networks.two_in_two_out(), tmp_path / "no" / "net.onnx")


def test_importing_exporters_is_light() -> None:
    heavy = "import sys, exporters; print([m for m in ('torch', 'onnx', 'numpy', 'onnxruntime') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
