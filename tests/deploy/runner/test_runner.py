"""The runner as another machine would use it: over pipes, with nothing but numpy and the runtime beside it."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from deploy.runner import children
from deploy.runner.protocol import VERSION, MeasureRequest, read_request, request_line
from tests.deploy.runner import plugin
from tests.deploy.runner.processes import alive, children_of, wait_until

ROOT = Path(__file__).parent.parent.parent.parent
HOST_ONLY = ("pydantic", "onnx", "torch", "plotly", "yaml", "click", "rich")


@contextmanager
def runner(**environment: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        children.command("deploy.runner"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def ask(line: str, **environment: str) -> list[dict[str, Any]]:
    with runner(**environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line + "\n")
        process.stdin.flush()
        return [json.loads(answer) for answer in process.stdout]


def test_it_runs_where_nothing_but_numpy_and_the_runtime_is_installed(net: Path, tmp_path: Path) -> None:
    for name in HOST_ONLY:
        (tmp_path / f"{name}.py").write_text(f"raise ImportError('{name} is not installed here')")
    path = os.pathsep.join(part for part in (str(tmp_path), os.environ.get("PYTHONPATH", "")) if part)
    request = MeasureRequest([str(net)], batches=[2], seconds=0.1)
    events = ask(request_line(request), PYTHONPATH=path)
    (figures,) = [event["figures"] for event in events if event["event"] == "figures"]
    assert figures["conditions"] == {"runtime": "onnxruntime-cpu", "threads": 1, "batch": 2}
    assert figures["inputs"] == {"input": "float32[2, 3, 24, 24]"}
    assert len(figures["milliseconds"]) >= 5
    assert events[-1] == {"event": "done"}


def test_it_describes_the_machine_and_its_runtimes() -> None:
    *_, machine, done = ask(request_line(None))
    assert machine["runtimes"]["onnxruntime-cpu"] is None
    assert machine["machine"]["usable_cores"] >= 1
    assert done == {"event": "done"}


@pytest.mark.parametrize(
    "line",
    [
        "",
        "hello",
        "[]",
        json.dumps({"protocol": VERSION + 1, "verb": "measure", "request": {"files": []}}),
        json.dumps({"protocol": VERSION, "verb": "dance"}),
        json.dumps({"protocol": VERSION, "verb": "measure", "request": {"files": [], "colour": "red"}}),
    ],
)
def test_what_it_does_not_understand_is_an_error_and_not_a_crash(line: str) -> None:
    error, done = ask(line)
    assert error["event"] == "error"
    assert error["exit_code"] == 2
    assert done["event"] == "done"


def test_no_room_for_temporary_files_is_told(net: Path, tmp_path: Path) -> None:
    """The system refuses to let any file grow beyond 4 bytes, as a full disk would."""
    (tmp_path / "sitecustomize.py").write_text("import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4, 4))")
    path = os.pathsep.join(part for part in (str(tmp_path), os.environ.get("PYTHONPATH", "")) if part)
    *_, error, done = ask(request_line(MeasureRequest([str(net)])), PYTHONPATH=path)
    assert error["what"] == "cannot measure here (File too large)"
    assert error["exit_code"] == 4
    assert done["event"] == "done"


def test_it_ends_when_its_input_closes_whatever_it_is_doing(net: Path) -> None:
    with runner() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(request_line(MeasureRequest([str(net)], seconds=500)) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            if json.loads(line).get("text") == "measuring":
                break
        started = children_of(process.pid)
        assert started
        process.stdin.close()
        assert process.wait(30) == 1
    wait_until(lambda: not any(alive(child) for child in started))


def test_it_is_never_silent_for_long_even_where_a_runtime_is(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host takes a minute's silence for a dead line, and loading may take longer."""
    plugin.install(tmp_path, monkeypatch)
    sleepy = Path(shutil.copy(net, tmp_path / "hang-load.onnx"))
    events = ask(request_line(MeasureRequest([str(sleepy)], runtimes=[plugin.NAME], timeout=8)))
    loading = [event for event in events if event.get("text") == "loading hang-load.onnx"]
    assert len(loading) >= 4
    assert events[-2]["event"] == "progress"
    (mishap,) = [event["mishap"] for event in events if event["event"] == "mishap"]
    assert mishap["kind"] == "hung"


def test_progress_does_not_go_back_when_a_crash_has_others_measured_again(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin.install(tmp_path, monkeypatch)
    files = [str(shutil.copy(net, tmp_path / name)) for name in ("crash-late.onnx", "good.onnx")]
    events = ask(request_line(MeasureRequest(files, runtimes=[plugin.NAME], seconds=0.1)))
    shares = [event["share"] for event in events if event["event"] == "progress"]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert [event["event"] for event in events if event["event"] in ("mishap", "figures")] == ["mishap", "figures"]


def test_requests_survive_the_line() -> None:
    request = MeasureRequest(["a.onnx"], ["x", "y"], [1, 2], [8], {"height": 7}, 1.5, 3, True, 9.0, False)
    assert read_request(request_line(request)) == request
    assert read_request(request_line(None)) is None


def test_nothing_that_runs_on_a_device_needs_the_host() -> None:
    """Read from the sources, so that what is imported on a rare path counts, too."""
    reached = closure("deploy.runner.__main__", "deploy.runner.worker", "deploy.runner.tasks", "deploy.duet.task")
    assert "deploy.runtimes.onnxruntime_cpu" in reached
    assert not [name for name in reached if name in ("deploy.records", "compress.files", "deploy.sessions")]
    foreign = {imported.partition(".")[0] for name in reached for imported in imports(name)}
    assert not foreign & {*HOST_ONLY, "models", "exporters"}


def test_what_runs_on_a_device_is_python_3_9() -> None:
    for name in closure("deploy.runner.__main__", "deploy.runner.worker", "deploy.runner.tasks", "deploy.duet.task"):
        ast.parse(source(name).read_text(), feature_version=(3, 9))


def closure(*roots: str) -> set[str]:
    """The project's modules that ``roots`` import, in functions or outside, but not for type checkers only."""
    waiting = [*roots, *(f"deploy.runtimes.{path.stem}" for path in (ROOT / "deploy/runtimes").glob("*.py"))]
    found: set[str] = set()
    while waiting:
        name = waiting.pop().removesuffix(".__init__")
        if name in found or not source(name).is_file():
            continue
        found.add(name)
        waiting += [name.rpartition(".")[0] or name, *imports(name)]
    return found


def source(name: str) -> Path:
    path = ROOT.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imports(name: str) -> Iterator[str]:
    waiting: list[ast.AST] = [ast.parse(source(name).read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)
