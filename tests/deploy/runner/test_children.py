from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compress.errors import InputError, UnavailableError
from deploy.runner import children
from deploy.runner.children import ChildError, TaskError
from tests.deploy.runner.processes import alive, wait_until

TASKS = """
import os, signal, sys, time
from compress.errors import UnavailableError

def double(arguments, reporter):
    reporter.say(0.5, "doubling")
    return arguments["number"] * 2

def chatter(arguments, reporter):
    os.write(1, b"a library prints what it likes\\n")
    print("and so does Python")
    return "heard"

def crash(arguments, reporter):
    reporter.at(3)
    os.kill(os.getpid(), signal.SIGSEGV)

def be_killed(arguments, reporter):
    os.kill(os.getpid(), signal.SIGKILL)

def die_of_a_nameless_signal(arguments, reporter):
    os.kill(os.getpid(), signal.SIGRTMIN + 3)

def die_speaking(arguments, reporter):
    reporter._stream.write('{"event": "result", "value": 1')
    reporter._stream.flush()
    os.kill(os.getpid(), signal.SIGABRT)

def leave(arguments, reporter):
    print("out of patience", file=sys.stderr)
    os._exit(7)

def stumble(arguments, reporter):
    raise RuntimeError("a mistake of the runtime")

def refuse(arguments, reporter):
    reporter.at(1)
    raise UnavailableError("is not here", where="there", hint="go and get it")

def ask_for_too_much(arguments, reporter):
    import numpy
    numpy.zeros(1 << 58)

def hang(arguments, reporter):
    reporter.at(2)
    reporter.say(0.1, "running net.onnx")
    time.sleep(600)

def plod(arguments, reporter):
    for step in range(8):
        time.sleep(0.8)
        reporter.say(step / 8, "plodding")
    return "there"

def hang_holding_everything(arguments, reporter):
    import ctypes
    open(arguments["pid"], "w").write(str(os.getpid()))
    ctypes.PyDLL(None).sleep(600)  # PyDLL keeps the interpreter's lock: no thread of this process runs any more
"""


@pytest.fixture(autouse=True)
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some_tasks.py").write_text(TASKS)
    path = os.pathsep.join(part for part in (str(tmp_path), os.environ.get("PYTHONPATH", "")) if part)
    monkeypatch.setenv("PYTHONPATH", path)


def silent(_share: float, _text: str) -> None:
    pass


def test_a_result_comes_back_with_its_progress() -> None:
    told: list[tuple[float, str]] = []
    result = children.run("some_tasks:double", {"number": 21}, timeout=60, tick=lambda *event: told.append(event))
    assert result == 42
    assert (0.5, "doubling") in told


def test_what_a_runtime_prints_does_not_garble_the_answer() -> None:
    assert children.run("some_tasks:chatter", {}, timeout=60, tick=silent) == "heard"


def test_a_crash_is_named_by_its_signal_and_put_down_to_what_was_run() -> None:
    with pytest.raises(ChildError, match=r"^crashed with signal 11 \(SIGSEGV\)$") as raised:
        children.run("some_tasks:crash", {}, timeout=60, tick=silent)
    assert (raised.value.kind, raised.value.at) == ("crashed", 3)


def test_a_process_that_is_killed_points_to_memory() -> None:
    with pytest.raises(ChildError, match=r"signal 9 \(SIGKILL\)") as raised:
        children.run("some_tasks:be_killed", {}, timeout=60, tick=silent)
    assert "memory" in raised.value.hint


@pytest.mark.parametrize("task", ["die_of_a_nameless_signal", "die_speaking"])
def test_any_death_is_a_crash(task: str) -> None:
    with pytest.raises(ChildError, match="crashed with signal"):
        children.run(f"some_tasks:{task}", {}, timeout=60, tick=silent)


@pytest.mark.parametrize(
    ("task", "reason"),
    [("leave", r"code 7 \(out of patience\)"), ("stumble", r"code 1 \(RuntimeError: a mistake of the runtime\)")],
)
def test_an_untimely_end_is_told_with_its_last_words(task: str, reason: str) -> None:
    with pytest.raises(ChildError, match=reason) as raised:
        children.run(f"some_tasks:{task}", {}, timeout=60, tick=silent)
    assert raised.value.kind == "crashed"


def test_a_refusal_keeps_its_kind_its_words_and_its_file() -> None:
    with pytest.raises(TaskError) as raised:
        children.run("some_tasks:refuse", {}, timeout=60, tick=silent)
    error = raised.value.error
    assert isinstance(error, UnavailableError)
    assert (error.what, error.where, error.hint) == ("is not here", "there", "go and get it")
    assert raised.value.at == 1


def test_what_does_not_fit_in_memory_is_no_crash() -> None:
    with pytest.raises(TaskError, match="does not fit in memory") as raised:
        children.run("some_tasks:ask_for_too_much", {}, timeout=60, tick=silent)
    assert isinstance(raised.value.error, InputError)
    assert "smaller batch" in str(raised.value.error.hint)


def test_a_hang_is_ended_and_told_with_what_it_hung_in() -> None:
    start = time.monotonic()
    with pytest.raises(ChildError, match=r"no sign of life for 2 s while running net\.onnx") as raised:
        children.run("some_tasks:hang", {}, timeout=2, tick=silent)
    assert (raised.value.kind, raised.value.at) == ("hung", 2)
    assert time.monotonic() - start < 60


def test_a_slow_task_that_speaks_is_no_hang() -> None:
    assert children.run("some_tasks:plod", {}, timeout=4, tick=silent) == "there"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a child whose parent died")
def test_a_hung_task_does_not_outlive_its_parent(tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    code = (
        "from deploy.runner import children\n"
        f"children.run('some_tasks:hang_holding_everything', {{'pid': {str(noted)!r}}}, timeout=60, "
        "tick=lambda *_: None)"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        wait_until(lambda: noted.is_file() and noted.read_text() != "")
        parent.kill()
    child = int(noted.read_text())
    wait_until(lambda: not alive(child))
