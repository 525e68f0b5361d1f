"""Measuring through a pipe: the way that files, requests and answers take to any device, without the network."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import deploy
from compress.errors import InputError, UnavailableError
from compress.operators import host, library_name
from deploy.devices.base import DisconnectedError
from deploy.devices.cargo import pack, plain_name
from deploy.devices.channel import BOOTSTRAP, Channel, Part
from deploy.devices.remote import Patience
from deploy.devices.ssh import remote_line
from deploy.runner.protocol import MeasureRequest
from tests.deploy.devices.conftest import PipeDevice, emptied, empty, midway

MakeNet = Callable[..., Path]
HOSTILE = "-a $(touch owned) `id` 'b' \"c\" \\ ; \n ü\u202e&.onnx"


def request(*files: Path, **options: Any) -> MeasureRequest:
    return MeasureRequest([str(file) for file in files], **({"seconds": 0.1} | options))


def test_the_answer_is_the_one_that_is_had_here(net: Path, bigger_net: Path, place: Path) -> None:
    files = (net, bigger_net)
    there = deploy.measure(files, device=PipeDevice(folder=place), seconds=0.1)
    here = deploy.measure(files, seconds=0.1)
    assert [profile.target for profile in there.profiles] == ["pipe", "pipe"]
    for mine, theirs in zip(here.profiles, there.profiles, strict=True):
        assert theirs.model_dump().keys() == mine.model_dump().keys()
        assert theirs.file == mine.file
        assert theirs.incomparable(mine) == "measured with different target"
        assert theirs.environment.versions == mine.environment.versions
    assert not there.failures
    assert empty(place)


def test_a_device_may_be_named(net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("devices.yaml").write_text("pi: {ssh: 'ssh://127.0.0.1:1'}")
    for name in ("pi", "ssh://127.0.0.1:1"):
        with pytest.raises(UnavailableError, match=f"device {name}: "):
            deploy.measure([net], device=name)
    for name, said in (("nobody", "no device is called"), ("all", "measure_on")):
        with pytest.raises(InputError, match=said):
            deploy.measure([net], device=name)


def test_progress_grows_from_sending_to_the_end(net: Path) -> None:
    seen: list[tuple[float, str]] = []
    PipeDevice().measure(request(net), lambda share, text: seen.append((share, text)))
    shares = [share for share, _ in seen]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == 1
    assert any(text.startswith("sending") for _, text in seen)


@pytest.mark.parametrize("noise", ["echo welcome; printf 'no end of line'", 'echo \'{"event": "done"}\'; echo >&2'])
def test_what_the_shell_prints_is_no_answer(noise: str, net: Path, place: Path) -> None:
    answer = PipeDevice(before=noise, folder=place).measure(request(net))
    assert len(answer.figures) == 1
    assert empty(place)


def test_file_names_cannot_do_anything(make_net: MakeNet, tmp_path: Path, place: Path) -> None:
    source = make_net("plain.onnx", external="weights '$(touch owned)' \n.bin")
    path = tmp_path / "hostile" / HOSTILE
    path.parent.mkdir()
    for file in (source, source.parent / "weights '$(touch owned)' \n.bin"):
        shutil.copy(file, path if file == source else path.parent / file.name)
    outcome = deploy.measure([path], device=PipeDevice(folder=place), seconds=0.1)
    assert not outcome.failures
    assert outcome.profiles[0].file.name == HOSTILE
    assert not list(tmp_path.rglob("owned"))
    assert not Path("owned").exists()
    assert empty(place)


def test_names_on_the_device_are_plain_and_keep_their_ending() -> None:
    for name, plain in {HOSTILE: None, "small.onnx": "small.onnx", "...onnx": None, "a.sm86.fp16.engine": None}.items():
        made = plain_name(Path(name))
        assert plain in (None, made)
        assert made.endswith(Path(name).suffix)
        assert all(letter.isascii() and (letter.isalnum() or letter in "._-") for letter in made)
        assert not made.startswith(("-", "."))


def test_a_file_that_the_runtime_refuses_does_not_harm_the_others(net: Path, tmp_path: Path, place: Path) -> None:
    model = onnx.load(str(net))
    model.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(model, str(tmp_path / "odd.onnx"))
    outcome = deploy.measure([tmp_path / "odd.onnx", net], device=PipeDevice(folder=place), seconds=0.1)
    assert [failure.kind for failure in outcome.failures] == ["refused"]
    assert "NoSuchOperator" in outcome.failures[0].reason
    assert [profile.file.name for profile in outcome.profiles] == [net.name]
    assert empty(place)


def test_a_device_is_described(place: Path) -> None:
    answer = PipeDevice(folder=place).describe()
    assert answer.machine["python"] == ".".join(map(str, sys.version_info[:3]))
    assert answer.runtimes["onnxruntime-cpu"] is None
    assert empty(place)


def test_a_python_without_numpy_is_told_by_name(bare_python: Path, net: Path, place: Path) -> None:
    device = PipeDevice(python=str(bare_python), folder=place)
    with pytest.raises(UnavailableError, match="numpy is not installed") as caught:
        device.measure(request(net))
    assert f"{bare_python} -m pip install numpy" in str(caught.value.hint)
    assert empty(place)


def _python_with(bare_python: Path, tmp_path: Path, onnxruntime: str | None) -> Path:
    """A virtual environment with this one's numpy, and an onnxruntime of our own making, or none."""
    folder = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    packages = next((folder / "lib").glob("python*/site-packages"))
    home = Path(np.__file__).parents[1]
    for name in [path.name for path in home.glob("numpy*")]:
        (packages / name).symlink_to(home / name)
    if onnxruntime is not None:
        (packages / "onnxruntime.py").write_text(onnxruntime)
    return folder / "bin" / "python"


def test_a_runtime_that_is_missing_there_is_a_failure_with_its_name(
    bare_python: Path, net: Path, tmp_path: Path, place: Path
) -> None:
    python = _python_with(bare_python, tmp_path, None)
    outcome = deploy.measure([net], device=PipeDevice(python=str(python), folder=place), seconds=0.1)
    assert [failure.kind for failure in outcome.failures] == ["unavailable"]
    assert "onnxruntime is not installed" in outcome.failures[0].reason
    assert empty(place)


HANGS = """
import time
__version__ = "1.0"
class SessionOptions:
    def add_session_config_entry(self, key, value): pass
class ExecutionMode: ORT_SEQUENTIAL = 0
class GraphOptimizationLevel: ORT_ENABLE_ALL = 0
def get_available_providers(): return ["CPUExecutionProvider"]
def InferenceSession(*arguments, **options): time.sleep(600)
"""


def test_a_runtime_that_hangs_there_is_a_failure(bare_python: Path, net: Path, tmp_path: Path, place: Path) -> None:
    python = _python_with(bare_python, tmp_path, HANGS)
    device = PipeDevice(python=str(python), folder=place)
    outcome = deploy.measure([net], device=device, seconds=0.1, timeout=3)
    assert [(failure.kind, failure.target) for failure in outcome.failures] == [("hung", "pipe")]
    assert empty(place)


def test_a_python_that_does_not_start_is_told(net: Path) -> None:
    for python, said in (("/no/such/python", "/no/such/python did not start"), ("/bin/false", "exit code 1")):
        with pytest.raises(UnavailableError, match=said) as caught:
            PipeDevice(python=python).measure(request(net))
        assert "devices.yaml" in str(caught.value.hint)


def test_a_folder_that_cannot_be_used_is_told(net: Path, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"cannot store files in .*nowhere"):
        PipeDevice(folder=tmp_path / "nowhere").measure(request(net))


def test_a_device_without_an_answer_is_given_up(net: Path) -> None:
    device = PipeDevice(before="exec sleep 60")
    device.patience = Patience(connecting=1.0, parting=0.1)
    with pytest.raises(UnavailableError, match="did not answer within 1 s"):
        device.measure(request(net))


def _signalling(place: Path, number: int, **options: Any) -> tuple[PipeDevice, Callable[[float, str], None]]:
    """A device, and a progress that sends its receiver a signal midway."""
    device = PipeDevice(before=f"echo $$ > '{place.parent}/pid'", folder=place, **options)
    return device, midway(lambda: os.kill(int((place.parent / "pid").read_text()), number))


def test_a_device_that_dies_is_disconnected_and_its_leftovers_are_named(net: Path, place: Path) -> None:
    device, progress = _signalling(place, signal.SIGKILL)
    with pytest.raises(DisconnectedError, match="the connection broke off") as caught:
        device.measure(request(net, seconds=30), progress)
    assert "run the command again (--device pipe" in str(caught.value.hint)
    assert str(next(place.iterdir())) in str(caught.value.hint)
    assert caught.value.exit_code == 4


def test_what_was_measured_before_it_died_is_kept(net: Path, bigger_net: Path, place: Path) -> None:
    device = PipeDevice(before=f"echo $$ > '{place.parent}/pid'", folder=place)

    def progress(share: float, text: str) -> None:
        if share > 0.8:  # of two numbers of threads, the second is being measured
            os.kill(int((place.parent / "pid").read_text()), signal.SIGKILL)

    outcome = deploy.measure([net], device=device, threads=(1, 2), seconds=1.5, progress=progress)
    assert [profile.conditions.threads for profile in outcome.profiles] == [1]
    assert [(failure.kind, failure.threads) for failure in outcome.failures] == [("disconnected", 2)]


def test_a_device_that_hangs_is_given_up(net: Path, place: Path) -> None:
    device, progress = _signalling(place, signal.SIGSTOP, silence=2.5)
    outcome = deploy.measure([net], device=device, seconds=1000, progress=progress)
    assert [(failure.kind, failure.target) for failure in outcome.failures] == [("hung", "pipe")]
    assert "nothing was heard for 2 s" in outcome.failures[0].reason


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_on_the_device_leaves_nothing_there(number: int, net: Path, place: Path) -> None:
    device, progress = _signalling(place, number)
    with pytest.raises(DisconnectedError, match="stopped by a signal"):
        device.measure(request(net, seconds=30), progress)
    assert emptied(place)


def test_whoever_stops_waiting_leaves_nothing_there(net: Path, place: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        PipeDevice(folder=place).measure(request(net, seconds=30), midway(interrupt))
    assert empty(place)


def test_another_thread_can_stop_it(net: Path, place: Path) -> None:
    device = PipeDevice(folder=place)
    with pytest.raises(DisconnectedError):
        device.measure(request(net, seconds=30), midway(device.stop))
    assert emptied(place)


def _converse(place: Path) -> Channel:
    return Channel(["sh", "-c", remote_line(sys.executable)], place=str(place))


@pytest.mark.parametrize("names", [("..", "owned"), ("/etc/owned",), ("a", "..", "..", "owned"), (), ("",)])
def test_no_file_leaves_its_folder(names: tuple[str, ...], place: Path) -> None:
    with _converse(place) as channel:
        assert channel.greet(patience=20)["event"] == "hello"
        channel.send(Part(names, b"x", "0" * 64), patience=20, sent=lambda count: None)
        assert "leads out of the folder" in channel.event(patience=20)["what"]
        assert channel.event(patience=20)["event"] == "end"
    assert empty(place)
    assert not list(place.parent.rglob("owned"))


def test_a_file_that_is_damaged_on_the_way_is_refused(place: Path) -> None:
    with _converse(place) as channel:
        channel.greet(patience=20)
        channel.send(Part(("model.onnx",), b"x" * 100_000, "0" * 64), patience=20, sent=lambda count: None)
        assert "damaged on the way" in channel.event(patience=20)["what"]
    assert empty(place)


def test_the_folder_is_for_its_owner_alone(place: Path) -> None:
    with _converse(place) as channel:
        folder = Path(channel.greet(patience=20)["folder"])
        assert folder.stat().st_mode & 0o777 == 0o700
        assert folder.parent == place
    assert empty(place)


def test_a_full_disk_is_told(place: Path, net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.devices.remote._SPARE", 1 << 60)
    with pytest.raises(UnavailableError, match="MB are free"):
        PipeDevice(folder=place).measure(request(net))
    assert empty(place)


def test_a_disk_that_fills_up_is_told(place: Path, net: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.engine"
    large.write_bytes(bytes(8 << 20))
    device = PipeDevice(before="ulimit -f 2048", folder=place)  # blocks of 512 or 1024 bytes
    with pytest.raises(UnavailableError, match="cannot store files in"):
        device.measure(request(large))
    assert empty(place)


def test_a_sparse_file_brings_its_library(tmp_path: Path, place: Path) -> None:
    library = pytest.importorskip("exporters.sparse.library")
    from tests.exporters.sparse.building import Case

    proto = onnx.load_from_string(Case(np.ones((8, 4, 1, 1), np.float32), (1, 4, 8, 8), block=4).sparse())
    onnx.save(proto, tmp_path / "sparse.onnx")
    alone = deploy.measure([tmp_path / "sparse.onnx"], device=PipeDevice(folder=place), seconds=0.1)
    assert "library" in alone.failures[0].reason
    shutil.copy(library.find(), tmp_path / library_name(host()))
    outcome = deploy.measure([tmp_path / "sparse.onnx"], device=PipeDevice(folder=place), seconds=0.1)
    assert [profile.file.name for profile in outcome.profiles] == ["sparse.onnx"]
    assert empty(place)


def test_only_the_library_for_the_device_is_sent(tmp_path: Path, net: Path) -> None:
    shutil.copy(net, tmp_path / "net.onnx")
    for platform in ("linux-aarch64", "linux-x86_64"):
        (tmp_path / library_name(platform)).write_bytes(b"code")
    cargo = pack([str(tmp_path / "net.onnx")], "linux-aarch64")
    assert [part.names[-1] for part in cargo.parts] == ["runner.zip", "net.onnx", library_name("linux-aarch64")]


def test_an_old_python_is_told_by_its_version() -> None:
    old = BOOTSTRAP.replace("(3,9)", "(99,0)")
    done = subprocess.run([sys.executable, "-c", old], capture_output=True, text=True, input="", check=False)
    assert "needs Python 3.9 or newer there, this is Python 3." in done.stderr


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "zsh", "fish", "tcsh", "ksh"])
def test_shells_take_it_with_any_name(shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"there is no {shell} here")
    odd = "my venv/py'thon$(touch owned)"
    (tmp_path / "my venv").mkdir()
    (tmp_path / odd).symlink_to(sys.executable)
    monkeypatch.setenv("HOME", str(tmp_path))
    with Channel([program, "-c", remote_line(f"~/{odd}")]) as channel:
        assert channel.greet(patience=30)["executable"] == str(tmp_path / odd)


def test_the_line_is_one_that_any_shell_takes() -> None:
    assert not set(BOOTSTRAP) & set("'\\!$`\n")
    line = remote_line("~/my venv/bin/python3")
    assert line.startswith("exec ~/'my venv/bin/python3' -c '")
