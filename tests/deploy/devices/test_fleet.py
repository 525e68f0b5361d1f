"""Several devices at once: all are measured, and one that fails is a row among the others."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from compress.errors import InputError, UnavailableError
from deploy.devices.address import parse_address
from deploy.devices.fleet import Wish, measure_on
from deploy.devices.inventory import Target
from deploy.devices.local import LocalDevice
from deploy.devices.ssh import SshDevice
from deploy.runner.protocol import Answer, MeasureRequest
from deploy.timing import Progress, silent
from tests.deploy.devices.conftest import PipeDevice, emptied, empty


def pipe(name: str, **options: object) -> PipeDevice:
    device = PipeDevice(**options)  # type: ignore[arg-type]
    device.name = name
    return device


def wish(*files: Path, seconds: float = 0.1, **asked: Any) -> Wish:
    return Wish(files, options={"seconds": seconds}, **asked)


def test_devices_are_measured_together_and_told_apart(net: Path, bigger_net: Path, place: Path) -> None:
    targets = [
        Target(pipe("one", folder=place), threads=(1, 2)),
        Target(pipe("two", folder=place)),
        Target(LocalDevice()),
    ]
    shown: dict[str, list[float]] = {target.name: [] for target in targets}
    gauges = {name: lambda share, text, seen=seen: seen.append(share) for name, seen in shown.items()}
    outcome = measure_on(targets, wish(net, bigger_net), gauges)
    assert not outcome.failures
    assert [(profile.target, profile.conditions.threads, profile.file.name) for profile in outcome.profiles] == [
        ("one", 1, net.name),
        ("one", 1, bigger_net.name),
        ("one", 2, net.name),
        ("one", 2, bigger_net.name),
        ("two", 1, net.name),
        ("two", 1, bigger_net.name),
        ("here", 1, net.name),
        ("here", 1, bigger_net.name),
    ]
    assert all(seen[-1] == 1 for seen in shown.values())
    assert empty(place)


def test_entries_of_one_machine_take_turns(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PipeDevice, "machine", "board")
    spans: dict[str, list[float]] = {"one": [], "two": []}
    gauges = {name: lambda share, text, seen=seen: seen.append(time.monotonic()) for name, seen in spans.items()}
    assert len(measure_on([Target(pipe("one")), Target(pipe("two"))], wish(net), gauges).profiles) == 2
    first, second = sorted(spans.values(), key=min)
    assert max(first) <= min(second)
    assert SshDevice(parse_address("ssh://a@board")).machine == SshDevice(parse_address("ssh://b@Board")).machine


def test_they_really_run_at_the_same_time(net: Path) -> None:
    meeting = threading.Barrier(2, timeout=60)
    gauges = {name: _once(meeting.wait) for name in ("one", "two")}
    targets = [Target(pipe("one")), Target(pipe("two"))]
    assert len(measure_on(targets, wish(net), gauges).profiles) == 2


def _once(act: object) -> Progress:
    waiting = [act]

    def progress(share: float, text: str) -> None:
        if share > 0.15 and waiting:
            waiting.pop()()  # type: ignore[operator]

    return progress


def test_files_go_to_their_usual_runtimes_unless_the_entry_names_some(net: Path, bigger_net: Path) -> None:
    asked = Wish([net, bigger_net], usual=lambda file: "tensorrt" if file == net else "openvino")
    runtimes = [(request.runtimes, request.files) for request in asked.requests(Target(LocalDevice()))]
    assert runtimes == [(("tensorrt",), [str(net)]), (("openvino",), [str(bigger_net)])]
    named = asked.requests(Target(LocalDevice(), runtimes=("onnxruntime-cpu",), threads=(4,)))
    assert [(request.runtimes, request.threads, len(request.files)) for request in named] == [
        (("onnxruntime-cpu",), (4,), 2)
    ]
    chosen = Wish([net], runtimes=("x",), threads=(2,)).requests(Target(LocalDevice(), ("y",), (4,)))
    assert [(request.runtimes, request.threads) for request in chosen] == [(("x",), (2,))]


def test_here_is_measured_when_the_others_are_done(net: Path) -> None:
    order: list[str] = []
    gauges = {name: lambda share, text, name=name: order.append(name) for name in ("here", "one", "two")}
    targets = [Target(LocalDevice()), Target(pipe("one")), Target(pipe("two"))]
    outcome = measure_on(targets, wish(net), gauges)
    assert [profile.target for profile in outcome.profiles] == ["here", "one", "two"]
    first = order.index("here")
    assert set(order[:first]) == {"one", "two"}
    assert set(order[first:]) == {"here"}


def test_one_that_cannot_be_had_harms_no_other(net: Path, bigger_net: Path) -> None:
    lost = pipe("lost", python="/no/such/python")
    outcome = measure_on([Target(lost), Target(pipe("good"))], wish(net, bigger_net, threads=(1, 2), batches=(4,)))
    assert {profile.target for profile in outcome.profiles} == {"good"}
    assert len(outcome.profiles) == 4
    told = [
        (failure.target, failure.kind, failure.file, failure.threads, failure.batch) for failure in outcome.failures
    ]
    assert told == [
        ("lost", "unavailable", net.name, 1, 4),
        ("lost", "unavailable", bigger_net.name, 1, 4),
        ("lost", "unavailable", net.name, 2, 4),
        ("lost", "unavailable", bigger_net.name, 2, 4),
    ]
    assert "/no/such/python did not start" in outcome.failures[0].reason
    assert "devices.yaml" in str(outcome.failures[0].hint)


def test_one_that_dies_harms_no_other(net: Path, tmp_path: Path, place: Path) -> None:
    doomed = pipe("doomed", before=f"echo $$ > '{tmp_path}/pid'", folder=place)
    gauges = {"doomed": _once(lambda: os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL))}
    outcome = measure_on([Target(doomed), Target(pipe("good"))], wish(net, seconds=1.0), gauges)
    assert [profile.target for profile in outcome.profiles] == ["good"]
    assert [(failure.target, failure.kind) for failure in outcome.failures] == [("doomed", "disconnected")]


def test_none_that_can_be_had_is_an_error(net: Path) -> None:
    targets = [Target(pipe(name, python="/no/such/python")) for name in ("one", "two")]
    with pytest.raises(UnavailableError, match="device one: /no/such/python did not start"):
        measure_on(targets, wish(net))


def test_a_mistake_of_the_user_is_one_for_all(net: Path, place: Path) -> None:
    targets = [Target(pipe(name, folder=place)) for name in ("one", "two")]
    with pytest.raises(InputError, match="no runtime is called 'nonsense'"):
        measure_on(targets, wish(net, runtimes=["nonsense"], seconds=30))
    assert emptied(place)


class Slow(PipeDevice):
    """A device that says when it has begun."""

    begun = threading.Event()

    def measure(self, request: MeasureRequest, progress: Progress = silent) -> Answer:
        return super().measure(request, _once(self.begun.set))


def test_an_interrupt_ends_them_all_and_leaves_nothing(net: Path, place: Path) -> None:
    def interrupt() -> None:
        Slow.begun.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        measure_on([Target(Slow(folder=place)), Target(LocalDevice())], wish(net, seconds=1000))
    assert emptied(place)
