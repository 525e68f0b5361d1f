"""``compress export --sparse`` and ``--sparse-storage``: files, records, and what is said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import onnx as onnx_package
import pytest
from onnx import numpy_helper

from compress import operators
from compress.errors import UnavailableError
from compress.operators import DOMAIN
from exporters.sparse import compiler, library
from tests.compress.cli.calling import Cli
from tests.exporters.sparse.building import pruned

LIBRARY = operators.library_name(operators.host())
SPARSE = ("--sparse", "--batch", "8")  # one picture of 8 x 8 is too small to gain, by rule


@pytest.fixture
def zeros(onnx: Path) -> Path:
    """The network as ONNX with nine tenths of zeros in the weights of its convolutions, in 4x1 blocks."""
    import numpy as np

    proto = onnx_package.load(onnx)
    for tensor in proto.graph.initializer:
        if len(tensor.dims) == 4:
            array = numpy_helper.to_array(tensor)
            kept = pruned(np.random.default_rng(0), array.shape, 0.1, 4) != 0
            tensor.CopyFrom(numpy_helper.from_array(array * kept, tensor.name))
    onnx_package.save(proto, onnx.with_name("zeros.onnx"))
    return onnx.with_name("zeros.onnx")


def test_an_onnx_file_gets_sparse_operators_library_record_and_examples(cli: Cli, zeros: Path) -> None:
    found = cli("export", zeros, *SPARSE, "--json")
    assert found.code == 0, found.err
    artifact = found.data["artifacts"][0]
    assert artifact["kind"] == "onnx-sparse"
    assert artifact["verification"]["max_error"] <= artifact["verification"]["allowed"]
    chosen = [layer for layer in artifact["metadata"]["layers"] if layer["chosen"]]
    assert chosen
    nodes = onnx_package.load("zeros.sparse.onnx").graph.node
    assert sum(node.domain == DOMAIN for node in nodes) == len(chosen)
    assert Path(LIBRARY).is_file()
    assert json.loads(Path("zeros.sparse.export.json").read_text()) == found.data
    assert not Path("zeros.export.json").exists()
    program = Path("zeros.sparse.example.py").resolve()
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, cwd=program.parent.parent)
    assert done.returncode == 0, done.stderr
    assert "(1, 10)" in done.stdout
    for name in ("zeros.sparse.onnx", LIBRARY):
        assert name in Path("zeros.sparse.example.c").read_text()


def test_a_layer_with_hardly_any_zeros_has_no_pattern_of_zeros(cli: Cli, zeros: Path) -> None:
    proto = onnx_package.load(zeros)
    for tensor in proto.graph.initializer:
        if len(tensor.dims) == 2:
            weights = numpy_helper.to_array(tensor).copy()
            weights[0, 0] = 0.0
            tensor.CopyFrom(numpy_helper.from_array(weights, tensor.name))
    onnx_package.save(proto, zeros)
    shown = cli("export", zeros, "--sparse").out
    without = [line.split() for line in shown.splitlines() if "hardly any zeros" in line and "Gemm" in line]
    assert without
    assert {words[2] for words in without} == {"dense"}


def test_the_sparse_file_is_profiled_and_evaluated_like_any(cli: Cli, zeros: Path) -> None:
    assert cli("export", zeros, *SPARSE).code == 0
    told = cli("profile", "zeros.sparse.onnx", "--seconds", "0.2", "--json")
    assert told.code == 0, told.err
    accuracies = [cli("evaluate", name, "--data", "digits", "--json").data for name in (zeros, "zeros.sparse.onnx")]
    assert accuracies[0]["metrics"]["top1"] == pytest.approx(accuracies[1]["metrics"]["top1"], abs=0.01)


@pytest.mark.parametrize("damaged", [None, b"", b"\x7fELF"])
def test_without_its_whole_library_a_sparse_file_is_refused_before_data_are_loaded(
    cli: Cli, zeros: Path, damaged: bytes | None
) -> None:
    assert cli("export", zeros, *SPARSE).code == 0
    Path(LIBRARY).unlink()
    if damaged is not None:
        Path(LIBRARY).write_bytes(damaged)
    sparse, nowhere = "zeros.sparse.onnx", ("--data", "imagefolder:nowhere")
    cli("evaluate", sparse, *nowhere).refused(LIBRARY, "export --sparse")
    cli("report", zeros, sparse, *nowhere).refused(LIBRARY, "export --sparse")
    cli("profile", zeros, sparse).refused(LIBRARY, "export --sparse")
    cli("gate", zeros, sparse).refused(LIBRARY, "export --sparse")
    cli("evaluate", zeros, *nowhere).refused("nowhere")


def test_a_network_is_exported_dense_on_the_way(cli: Cli, net: Path) -> None:
    assert cli("export", net, "--sparse").code == 0
    assert not net.with_suffix(".onnx").exists()
    record = json.loads(net.with_name("net.sparse.export.json").read_text())
    assert record["source"]["file"] == "net.pt2"
    assert "the file is the dense one" in record["artifacts"][1]["metadata"]["notes"][0]
    assert cli("export", net, "--sparse", "--onnx", "--force").code == 0
    assert net.with_suffix(".onnx").exists()


def test_sparse_storage_is_smaller_and_says_that_it_is_no_faster(cli: Cli, zeros: Path) -> None:
    found = cli("export", zeros, "--sparse-storage", "--json")
    assert found.code == 0, found.err
    assert "nothing faster" in found.err
    assert Path("zeros.coo.onnx").stat().st_size < 0.6 * zeros.stat().st_size
    assert found.data["artifacts"][0]["metadata"]["stored"]


def test_sparse_storage_of_a_dense_network_is_the_dense_file(cli: Cli, onnx: Path) -> None:
    assert cli("export", onnx, "--sparse-storage").code == 0
    assert not onnx_package.load("net.coo.onnx").graph.sparse_initializer


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "--sparse"),
        (("--onnx",), "--sparse"),
        (("--measure",), "--sparse"),
        (("--sparse", "--data", "digits"), "--data"),
        (("--sparse", "--size", "height=3"), "height"),
        (("--sparse", "--target-platform", "vax"), "linux-x86_64"),
    ],
)
def test_wrong_requests_are_refused(cli: Cli, zeros: Path, options: tuple[str, ...], said: str) -> None:
    cli("export", zeros, *options).refused(said)
    assert not Path("zeros.sparse.onnx").exists()


def test_measuring_for_another_machine_is_refused(cli: Cli, zeros: Path) -> None:
    other = next(platform for platform in operators.PLATFORMS if platform != operators.host())
    cli("export", zeros, "--sparse", "--measure", "--target-platform", other).refused("--measure")


def test_nothing_is_replaced_without_force(cli: Cli, zeros: Path) -> None:
    Path("zeros.sparse.onnx").write_text("mine")
    cli("export", zeros, "--sparse").refused("zeros.sparse.onnx", "--force")
    assert Path("zeros.sparse.onnx").read_text() == "mine"
    assert cli("export", zeros, "--sparse", "--force").code == 0


def test_compiling_the_library_is_announced_before_it_starts(
    cli: Cli, zeros: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    built, said = library.find().read_bytes(), []
    other = next(platform for platform in operators.PLATFORMS if platform != operators.host())

    def build(path: Path, platform: str) -> None:
        said.append(capfd.readouterr().err)
        path.write_bytes(built)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(library, "INSTALLED", tmp_path / "nothing")
    monkeypatch.setattr(compiler, "compile_library", build)
    assert cli("export", zeros, "--sparse", "--target-platform", other).code == 0
    assert [(line.count("compiling"), line.count("\n")) for line in said] == [(1, 1), (1, 1)]
    assert f"for {other}:" in said[0]
    assert f"for {operators.host()}:" in said[1]
    again = cli("export", zeros, "--sparse", "--target-platform", other, "--force")
    assert again.code == 0
    assert "compiling" not in again.err


def test_without_a_compiler_export_and_doctor_say_what_is_missing(
    cli: Cli, zeros: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(library, "INSTALLED", tmp_path / "nothing")
    monkeypatch.setattr(compiler, "compilers", lambda _platform: iter(()))
    cli("export", zeros, "--sparse").refused("compress-toolchain[sparse]", code=4)
    assert not Path("zeros.sparse.onnx").exists()
    with pytest.raises(UnavailableError):
        library.find()
    findings = {found["part"]: found for found in cli("doctor", "--json").data["findings"]}
    assert findings["sparse operators"]["state"] == "missing"
    assert "compress-toolchain[sparse]" in findings["sparse operators"]["remedy"]


def test_sparse_storage_is_taken_like_any_file(cli: Cli, zeros: Path) -> None:
    assert cli("export", zeros, "--sparse-storage").code == 0
    assert cli("inspect", "zeros.coo.onnx", "--json").data["kind"] == cli("inspect", zeros, "--json").data["kind"]
    accuracies = [cli("evaluate", name, "--data", "digits", "--json").data for name in (zeros, "zeros.coo.onnx")]
    assert accuracies[0]["metrics"] == accuracies[1]["metrics"]
    again = cli("export", "zeros.coo.onnx", *SPARSE, "--json")
    assert any(layer["chosen"] for layer in again.data["artifacts"][0]["metadata"]["layers"]), again.err


def test_what_cannot_be_meant_is_refused_before_anything_is_written(cli: Cli, zeros: Path) -> None:
    named = cli("export", zeros, "--sparse", "-o", "small.onnx")
    assert (named.code, Path("small.onnx").exists()) == (2, False)
    assert "a folder was expected" in named.err
    crowded = cli("export", zeros, "--sparse", "--measure", "--threads", "9999", "-o", "out")
    assert (crowded.code, Path("out").exists()) == (2, False)
    assert "--threads 9999 cannot be measured on" in crowded.err


def test_another_version_of_the_library_is_not_replaced_unasked(cli: Cli, zeros: Path) -> None:
    Path(LIBRARY).write_bytes(b"an older one")
    cli("export", zeros, *SPARSE).refused(LIBRARY, "another version", "--force")
    assert Path(LIBRARY).read_bytes() == b"an older one"
    assert not Path("zeros.sparse.onnx").exists()
    assert cli("export", zeros, *SPARSE, "--force").code == 0
    assert Path(LIBRARY).read_bytes() == library.find().read_bytes()
