"""OpenVINO: what it would do by itself, and what is made of its account of operators."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.errors import InputError
from deploy import runtimes
from deploy.certification.networks import convolutional
from deploy.runtimes.means import Cumulative
from tests.exporters.sparse.building import Case, pruned

here = pytest.mark.skipif(runtimes.names()["openvino"] is not None, reason="OpenVINO is not here")


@here
def test_it_computes_in_the_files_precision_with_the_threads_asked_for(tmp_path: Path) -> None:
    session = runtimes.get("openvino").load(convolutional(8).save(tmp_path / "net.onnx"), threads=2)
    said = session.describe().settings
    assert said["INFERENCE_PRECISION_HINT"] == "f32"
    assert said["INFERENCE_NUM_THREADS"] == "2"


@here
def test_sparse_operators_are_refused_by_name(tmp_path: Path) -> None:
    case = Case(pruned(np.random.default_rng(0), (32, 16, 3, 3), 0.1, 1), (1, 16, 24, 24))
    path = tmp_path / "sparse.onnx"
    path.write_bytes(case.sparse())
    with pytest.raises(InputError, match=r"OpenVINO cannot load it .*compress\.sparse\.SparseConv") as raised:
        runtimes.get("openvino").load(path, threads=1)
    assert "src/" not in str(raised.value)


@here
def test_activations_are_fused_into_convolutions(tmp_path: Path) -> None:
    made = convolutional(16)
    session = runtimes.get("openvino").load(made.save(tmp_path / "net.onnx"), threads=1)
    found = session.operator_times(made.feeds({"batch": 1, "height": 32, "width": 32}), runs=3)
    fused = {operator.layers: operator.nodes for operator in found if operator.layers}
    assert fused["block.expand",][0] == "block.expand/Conv"
    assert len(fused["block.expand",]) == 2
    assert [list(nodes) for nodes in session.placement().values()]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(0.01, 5000), min_size=4, max_size=40),
    st.data(),
)
def test_means_of_chosen_runs_come_back_from_running_means(durations: list[float], data: st.DataObject) -> None:
    running = [float(int(np.mean(durations[: count + 1]))) for count in range(len(durations))]
    runs = sorted(data.draw(st.sets(st.integers(0, len(durations) - 1), min_size=1)))
    found = Cumulative(running).mean(runs)
    wanted = float(np.mean([durations[run] for run in runs]))
    stretches = [run for run in runs if run - 1 not in runs], [run for run in runs if run + 1 not in runs]
    doubt = sum(first / 2 for first in stretches[0]) + sum((last + 1) / 2 for last in stretches[1])
    assert found > 0
    assert found <= max(0.5, wanted + doubt / len(runs) + 1e-6)
    assert found >= min(0.5, wanted - doubt / len(runs) - 1e-6, float(np.mean(durations)))


def test_a_disturbed_run_is_left_out() -> None:
    durations = [10.0] * 5 + [5000.0] + [10.0] * 14
    running = [float(int(np.mean(durations[: count + 1]))) for count in range(len(durations))]
    kept = [run for run in range(len(durations)) if run != 5]
    assert Cumulative(running).mean(kept) == pytest.approx(10.0, abs=1.0)
    assert Cumulative(running).mean(range(20)) == pytest.approx(259.5, abs=1.0)


_INTERRUPTED_AFTERWARDS = """
import gc, os, signal, sys, threading
from deploy.runtimes.openvino import Openvino

signal.signal(signal.SIGINT, lambda number, frame: print("interrupted"))
assert Openvino().why_not() is None
collector = threading.Thread(target=gc.collect)
collector.start()
collector.join()
os.kill(os.getpid(), signal.SIGINT)
"""


def test_signals_are_survived_once_another_thread_has_collected_garbage() -> None:
    """OpenVINO lays the stack that signals are handled on, and takes it along when it is taken down."""
    command = [sys.executable, "-X", "faulthandler", "-c", _INTERRUPTED_AFTERWARDS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "interrupted"), done.stderr
