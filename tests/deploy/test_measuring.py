"""What happens to the others when one file, one runtime or one device misbehaves: nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import deploy
from compress.errors import InputError
from deploy.devices.base import Device, DisconnectedError
from deploy.devices.local import LocalDevice
from deploy.records import Failure, Profile
from deploy.runner.protocol import Answer, MeasureRequest
from deploy.timing import Progress, silent
from tests.deploy.runner import plugin

Named = Callable[[str], Path]


@pytest.fixture
def unruly(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> str:
    plugin.install(tmp_path_factory.mktemp("plugin"), monkeypatch)
    return plugin.NAME


@pytest.fixture
def named(net: Path, tmp_path: Path) -> Named:
    """The small network under another name."""
    return lambda name: Path(shutil.copy(net, tmp_path / name))


def measured_names(profiles: list[Profile]) -> list[str]:
    return [profile.file.name for profile in profiles]


@pytest.mark.parametrize("when", ["load", "late"])
def test_a_crash_is_put_down_to_its_file_and_the_others_are_measured(unruly: str, named: Named, when: str) -> None:
    files = [named("good.onnx"), named(f"crash-{when}.onnx"), named("fine.onnx")]
    found = deploy.measure(files, runtimes=[unruly], seconds=0.2)
    assert measured_names(found.profiles) == ["good.onnx", "fine.onnx"]
    (failure,) = found.failures
    assert (failure.file, failure.kind) == (f"crash-{when}.onnx", "crashed")
    assert failure.reason == "crashed with signal 11 (SIGSEGV)"
    assert "2 files interleaved" in found.profiles[0].methodology.order


@pytest.mark.parametrize("when", ["load", "late"])
def test_a_hang_is_put_down_to_its_file_and_the_others_are_measured(unruly: str, named: Named, when: str) -> None:
    files = [named(f"hang-{when}.onnx"), named("good.onnx")]
    found = deploy.measure(files, runtimes=[unruly], seconds=0.2, timeout=8)
    assert measured_names(found.profiles) == ["good.onnx"]
    (failure,) = found.failures
    assert (failure.file, failure.kind) == (f"hang-{when}.onnx", "hung")
    assert "no sign of life for 8 s" in failure.reason
    assert "--timeout" in (failure.hint or "")


@pytest.mark.parametrize(("name", "reason"), [("refuse.onnx", "too good"), ("tire.onnx", "has had enough")])
def test_a_refusal_does_not_harm_the_others(unruly: str, named: Named, name: str, reason: str) -> None:
    found = deploy.measure([named(name), named("good.onnx")], runtimes=[unruly], seconds=0.2)
    assert measured_names(found.profiles) == ["good.onnx"]
    assert [failure.kind for failure in found.failures] == ["refused"]
    assert reason in found.failures[0].reason


def test_every_combination_is_measured_or_told(unruly: str, named: Named) -> None:
    files = [named("good.onnx"), named("refuse.onnx")]
    found = deploy.measure(files, runtimes=["onnxruntime-cpu", unruly], threads=[1, 2], batches=[1, 3], seconds=0.05)
    had = {(each.file.name, each.conditions.threads, each.conditions.batch) for each in found.profiles}
    assert had == {(path.name, threads, batch) for path in files for threads in (1, 2) for batch in (1, 3)}
    assert len(found.profiles) == 12
    assert {(each.file, each.runtime, each.threads, each.batch) for each in found.failures} == {
        ("refuse.onnx", unruly, threads, batch) for threads in (1, 2) for batch in (1, 3)
    }


def test_a_runtime_that_is_not_here_is_told_for_every_file(unruly: str, net: Path) -> None:
    found = deploy.measure([net], runtimes=["absent", unruly], seconds=0.05)
    assert measured_names(found.profiles) == ["base.onnx"]
    (failure,) = found.failures
    assert (failure.runtime, failure.kind) == ("absent", "unavailable")
    assert "its licence has run out" in failure.reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("unruly_runtime:Fatal", "fatal crashed with signal 11 (SIGSEGV) when it was asked whether it is here"),
        ("unruly_runtime:Nothing", "is broken"),
    ],
)
def test_a_runtime_that_crashes_or_breaks_when_asked_whether_it_is_here(
    named: Named, monkeypatch: pytest.MonkeyPatch, value: str, reason: str
) -> None:
    folder = named("good.onnx").parent
    plugin.install(folder, monkeypatch, entry_points=f"[compress.runtimes]\nfatal = {value}\n")
    found = deploy.measure([folder / "good.onnx"], runtimes=["fatal", "onnxruntime-cpu"], seconds=0.05)
    assert measured_names(found.profiles) == ["good.onnx"]
    (failure,) = found.failures
    assert (failure.runtime, failure.kind) == ("fatal", "unavailable")
    assert reason in failure.reason


def test_a_file_goes_to_the_runtimes_that_read_it(unruly: str, named: Named) -> None:
    engine = named("some.engine")
    wrong = deploy.measure([engine], runtimes=[unruly], seconds=0.05)
    (failure,) = wrong.failures
    assert failure.kind == "refused"
    assert failure.reason == "unruly reads .onnx, not .engine"
    assert "engines-only" in (failure.hint or "")
    both = deploy.measure([named("net.onnx"), engine], runtimes=[unruly, "engines-only"], seconds=0.05)
    assert [(each.file.name, each.conditions.batch) for each in both.profiles] == [("net.onnx", 1), ("some.engine", 1)]
    assert not both.failures


def test_a_damaged_file_does_not_keep_the_others_waiting(net: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(net.read_bytes()[:100])
    found = deploy.measure([damaged, net], seconds=0.05)
    assert measured_names(found.profiles) == ["base.onnx"]
    assert [(failure.file, failure.kind) for failure in found.failures] == [("damaged.onnx", "refused")]


def test_a_file_that_is_not_there_ends_everything_before_it_begins(net: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.onnx: does not exist"):
        deploy.measure([net, tmp_path / "none.onnx"])


def test_files_of_one_name_are_told_apart(net: Path, tmp_path: Path) -> None:
    paths = [tmp_path / folder / "net.onnx" for folder in ("dense", "small", "broken")]
    for path in paths:
        path.parent.mkdir()
        shutil.copy(net, path)
    paths[2].write_bytes(b"hello")
    found = deploy.measure([*paths, paths[0], net], seconds=0.05)
    names = ["dense/net.onnx", "small/net.onnx", "dense/net.onnx", "base.onnx"]
    assert measured_names(found.profiles) == names
    assert [failure.file for failure in found.failures] == ["broken/net.onnx"]
    with pytest.raises(InputError, match=r"broken/net\.onnx: is not an ONNX file"):
        deploy.profile(paths)


def test_operators_are_told_by_layer_or_why_not(unruly: str, named: Named) -> None:
    names = ["good.onnx", "no-operators.onnx", "crash-operators.onnx"]
    good, silent_one, crashing = deploy.measure(
        [named(name) for name in names], runtimes=[unruly], seconds=0.1, operators=True
    ).profiles
    assert {layer for operator in good.operators for layer in operator.layers} == {"conv0", "conv1", "conv2"}
    assert all(operator.milliseconds >= 0 for operator in good.operators)
    assert good.no_operators is None
    assert silent_one.no_operators == "does not tell the times of operators"
    assert crashing.no_operators == "crashed with signal 6 (SIGABRT)"
    assert not silent_one.operators
    (without,) = deploy.measure([named("plain.onnx")], seconds=0.05).profiles
    assert without.no_operators == "not asked for"


def test_the_quantiles_are_in_order(net: Path) -> None:
    (profile,) = deploy.measure([net], seconds=0.3).profiles
    assert profile.p95 is not None
    assert profile.p50.value <= profile.p90.value <= profile.p95.value <= profile.p99.value
    assert profile.target == "here"


class Torn(Device):
    """A device whose line tears after the first file."""

    name = "bench"

    def measure(self, request: MeasureRequest, progress: Progress = silent) -> Answer:
        answer = LocalDevice().measure(request, progress)
        told = Answer(figures=answer.figures[:1])
        raise DisconnectedError("stopped answering", where="bench", hint="run it again", answer=told)

    def describe(self) -> Answer:
        return LocalDevice().describe()

    def stop(self) -> None:
        """Nothing of it runs when this can be called."""


def test_a_torn_line_costs_what_was_not_told_yet(net: Path, bigger_net: Path) -> None:
    found = deploy.measure([net, bigger_net], seconds=0.05, device=Torn())
    assert [(each.file.name, each.target) for each in found.profiles] == [("base.onnx", "bench")]
    (failure,) = found.failures
    assert failure == Failure(
        file="bigger.onnx",
        runtime="onnxruntime-cpu",
        target="bench",
        threads=1,
        batch=1,
        kind="disconnected",
        reason="stopped answering",
        hint="run it again",
    )


@pytest.mark.parametrize(
    "options", [{"threads": []}, {"batches": [0]}, {"runtimes": []}, {"seconds": -1.0}, {"timeout": float("inf")}]
)
def test_senseless_requests_are_refused(net: Path, options: dict[str, object]) -> None:
    with pytest.raises(InputError):
        deploy.measure([net], **options)  # type: ignore[arg-type]


def test_a_link_is_measured_under_its_own_name(net: Path, tmp_path: Path) -> None:
    # Caches of models keep files under a checksum without an ending, and links to them.
    (tmp_path / "blob").write_bytes(net.read_bytes())
    links = [tmp_path / "old.onnx", tmp_path / "new.onnx"]
    for link in links:
        link.symlink_to("blob")
    found = deploy.measure(links, seconds=0.05)
    assert not found.failures
    assert measured_names(found.profiles) == ["old.onnx", "new.onnx"]
    verdict = deploy.gate(*links, budget=1.0)
    assert (verdict.base.name, verdict.new.name) == ("old.onnx", "new.onnx")
