from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import deploy
from compress.errors import InputError, UnavailableError
from deploy import timing
from deploy.records import Profile


def test_every_figure_is_there_with_its_conditions(net: Path) -> None:
    profile = deploy.profile(net, threads=1, batch=2, seconds=0.3)
    assert 0 < profile.p50.value <= profile.p90.value <= profile.p99.value
    assert profile.p50.low is not None
    assert profile.p50.high is not None
    assert profile.p50.low <= profile.p50.value <= profile.p50.high
    assert profile.throughput == pytest.approx(2e3 / profile.mean)
    assert profile.peak_memory is not None
    assert profile.idle_memory is not None
    assert profile.peak_memory >= profile.idle_memory > 0
    assert profile.load_time > 0
    assert profile.first_inference > 0
    assert profile.warmup.runs >= 3
    under = profile.conditions
    assert (under.runtime, under.precision, under.threads, under.batch) == ("onnxruntime-cpu", "fp32", 1, 2)
    assert under.inputs == {"input": "float32[2, 3, 24, 24]"}
    assert under.version
    assert under.device


def test_profile_survives_json(net: Path) -> None:
    profile = deploy.profile(net, seconds=0.05)
    assert Profile.model_validate_json(profile.model_dump_json()) == profile


def test_several_files_are_interleaved_and_comparable(net: Path, bigger_net: Path) -> None:
    small, big = deploy.profile([net, bigger_net], seconds=0.3)
    assert small.runs == big.runs
    assert "interleaved" in small.methodology.order
    assert small.incomparable(big) is None
    assert small.p50.value < big.p50.value


def test_progress_only_grows_and_ends_at_one(net: Path) -> None:
    shares: list[float] = []
    deploy.profile([net, net], seconds=0.2, progress=lambda share, _: shares.append(share))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_different_methodology_is_called_incomparable(net: Path) -> None:
    one = deploy.profile(net, seconds=0.05)
    two = deploy.profile(net, seconds=0.05, batch=2)
    assert "batch" in (one.incomparable(two) or "")
    rows = deploy.report.latency_rows(one, two)
    assert len(rows) == 1
    assert rows[0].before is None
    assert "not comparable" in (rows[0].missing or "")


def test_only_what_was_measured_alike_is_comparable(net: Path) -> None:
    one = deploy.profile(net, seconds=0.05)
    alike = one.model_copy(update={"conditions": one.conditions.model_copy(update={"precision": "int8"})})
    assert one.incomparable(alike) is None
    renamed = one.conditions.model_copy(update={"inputs": {"x": one.conditions.inputs["input"]}})
    assert one.incomparable(one.model_copy(update={"conditions": renamed})) is None
    for key, value in {"version": "0.1", "device": "another", "provider": "another", "threads": 7}.items():
        other = one.model_copy(update={"conditions": one.conditions.model_copy(update={key: value})})
        assert one.incomparable(other) == f"measured with different {key}"
        (row,) = deploy.report.latency_rows(one, other)
        assert row.before is row.after is None
        assert key in (row.missing or "")
    assert "target" in (one.incomparable(one.model_copy(update={"target": "board"})) or "")
    method = one.methodology.model_copy(update={"order": "a block each"})
    assert "method" in (one.incomparable(one.model_copy(update={"methodology": method})) or "")


def test_memory_is_that_of_a_fresh_process(net: Path) -> None:
    ballast = np.ones(400_000_000, np.uint8)
    measured = deploy.profile(net, seconds=0.05)
    assert ballast[0] == 1
    assert measured.peak_memory is not None
    assert measured.peak_memory < 300_000_000


def test_more_weights_take_more_memory(make_net: Callable[..., Path]) -> None:
    small = deploy.profile(make_net("thin.onnx"), seconds=0.05)
    large = deploy.profile(make_net("wide.onnx", channels=768), seconds=0.05)
    assert large.peak_memory is not None
    assert small.peak_memory is not None
    assert large.peak_memory > small.peak_memory + 30_000_000


def test_modules_in_the_working_folder_do_not_get_in_the_way(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise RuntimeError('shadowed')")
    (tmp_path / "deploy.py").write_text("raise RuntimeError('shadowed')")
    monkeypatch.chdir(tmp_path)
    assert deploy.profile(net, seconds=0.05).load_time > 0


def test_other_dynamic_dimensions_need_sizes(make_net: Callable[..., Path]) -> None:
    path = make_net("dynamic.onnx", height="height")
    with pytest.raises(InputError, match=r"dimension 2 of input 'input' is dynamic.*height=224"):
        deploy.profile(path)
    with pytest.raises(InputError, match="no dynamic dimension 'width'"):
        deploy.profile(path, sizes={"width": 32})
    by_name = deploy.profile(path, sizes={"height": 32}, seconds=0.05)
    by_place = deploy.profile(path, sizes={"input:2": 32}, seconds=0.05)
    assert by_name.conditions.inputs == by_place.conditions.inputs == {"input": "float32[1, 3, 32, 24]"}


def test_a_fixed_batch_accepts_only_itself(make_net: Callable[..., Path]) -> None:
    path = make_net("fixed.onnx", batch=2)
    with pytest.raises(InputError, match="batch is fixed at 2"):
        deploy.profile(path, batch=1)
    assert deploy.profile(path, batch=2, seconds=0.05).conditions.batch == 2


def test_integer_and_boolean_inputs_are_made_up(tmp_path: Path) -> None:
    shapes = {"ids": TensorProto.INT64, "mask": TensorProto.BOOL}
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["mask"], ["m"], to=TensorProto.INT64),
            helper.make_node("Mul", ["ids", "m"], ["output"]),
        ],
        "g",
        [helper.make_tensor_value_info(name, kind, ["n", 7]) for name, kind in shapes.items()],
        [helper.make_tensor_value_info("output", TensorProto.INT64, ["n", 7])],
    )
    path = tmp_path / "ids.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
    assert deploy.profile(path, seconds=0.05).conditions.inputs == {"ids": "int64[1, 7]", "mask": "bool[1, 7]"}


def test_an_operator_the_runtime_lacks_is_one_line(tmp_path: Path) -> None:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("input", "output")]
    graph = helper.make_graph(
        [helper.make_node("Nonsense", ["input"], ["output"], domain="x")], "g", value[:1], value[1:]
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("x", 1)]
    path = tmp_path / "nonsense.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), str(path))
    with pytest.raises(InputError, match=r"cannot load it.*Nonsense") as raised:
        deploy.profile(path)
    assert "\n" not in str(raised.value)


def test_a_failure_while_running_is_one_line(tmp_path: Path) -> None:
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [7, 3])
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["input", "shape"], ["output"])],
        "g",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)],
        [shape],
    )
    path = tmp_path / "reshape.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
    with pytest.raises(InputError, match=r"reshape.onnx: ONNX Runtime failed while running it") as raised:
        deploy.profile(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("options", [{"threads": 0}, {"batch": 0}, {"seconds": 0.0}, {"seconds": float("nan")}])
def test_senseless_arguments_are_refused_before_any_work(net: Path, options: dict[str, float]) -> None:
    with pytest.raises(InputError):
        deploy.profile(net, **options)  # type: ignore[call-overload]


def test_an_absent_runtime_is_refused(net: Path) -> None:
    with pytest.raises(UnavailableError, match="onnxruntime-coreml is not available here"):
        deploy.profile(net, runtime="onnxruntime-coreml")


def test_a_file_that_is_none_for_the_runtime_is_refused_with_those_that_it_fits(net: Path) -> None:
    with pytest.raises(InputError, match=r"base\.onnx: tensorrt reads \.engine.*it fits onnxruntime-cpu"):
        deploy.profile(net, runtime="tensorrt")


def test_an_unknown_runtime_is_refused(net: Path) -> None:
    with pytest.raises(InputError, match="no runtime is called 'onnxruntime'"):
        deploy.profile(net, runtime="onnxruntime")


def test_warm_up_goes_on_while_latencies_fall_and_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stop-watch is replaced, so that the machine's own noise has no say: each call returns its own latency."""
    monkeypatch.setattr(timing, "time_once", lambda call: call())
    noise = random.Random(0)

    def settling(series: Iterator[int]) -> Callable[[], float]:
        return lambda: 1.0 + max(0.0, 1.0 - next(series) / 100) + 0.05 * noise.expovariate(1)

    settled = timing.warm_up([settling(itertools.count())], limit=20.0, seed=0)
    assert settled.stationary
    assert settled.runs > 100
    steady = timing.warm_up([lambda: 1.0 + 0.05 * noise.expovariate(1)] * 2, limit=20.0, seed=0)
    assert steady.stationary
    rising = itertools.count()
    assert not timing.warm_up([lambda: float(next(rising))], limit=0.05, seed=0).stationary
