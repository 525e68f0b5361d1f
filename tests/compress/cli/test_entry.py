"""The command line as a whole: what it imports, what it says when things go wrong, and its exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest

import compress.pipeline.doctor
from compress.cli.entry import COMMANDS, commands
from compress.errors import UnavailableError
from tests.compress.cli.calling import Cli

ROOT = Path(__file__).parents[3]
HEAVY = ("torch", "torchvision", "timm", "onnx", "onnxruntime", "numpy", "plotly", "deploy", "exporters")


def modules_after(arguments: str) -> str:
    code = (
        f"import sys; from compress.cli.entry import run; code = run({arguments.split()!r}); "
        f"print('LOADED', code, sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("arguments", ["--help", "--version", *(f"{name} --help" for name in COMMANDS)])
def test_help_imports_nothing_heavy(arguments: str) -> None:
    assert modules_after(arguments) == "LOADED 0 []"


def test_commands_that_only_measure_never_import_torch() -> None:
    assert "torch" not in modules_after("gate missing.onnx missing.onnx")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_and_json(name: str, cli: Cli) -> None:
    shown = cli(name, "--help")
    assert shown.code == 0
    assert f"  compress {name}" in shown.out
    assert "--json" in shown.out


def test_help_lists_every_command_whole(cli: Cli) -> None:
    shown = cli("--help").out
    assert all(f"  {name} " in shown for name in COMMANDS)
    assert "..." not in shown.split("Commands:")[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("frobnicate",), ("frobnicate", "compress --help")),
        (("prune",), ("CHECKPOINT", "compress prune --help")),
        (("prune", "a.pt", "--granularity", "0"), ("--granularity",)),
        (("prune", "a.pt", "--keep", "layer1"), ("--keep", "PATTERN=RATIO")),
        (("prune", "a.pt", "--keep", "layer1=1.5"), ("--keep",)),
        (("prune", "a.pt", "--input-size", "3,0,4"), ("--input-size",)),
        (("prune", "a.pt", "--plan", "p.json", "--target", "macs=0.4"), ("--plan", "--target")),
        (("gate", "a.onnx", "b.onnx", "--max-regression", "much"), ("--max-regression", "5%")),
        (("gate", "a.onnx", "b.onnx", "--max-regression", "nan"), ("--max-regression",)),
        (("gate", "a.onnx", "b.onnx", "--max-regression", "0%"), ("--max-regression", "such as 2%")),
        (("compatibility", "a.onnx", "--device", "all", "--devices", "none.yaml"), ("none.yaml", "cannot be read")),
        (("profile", "a.onnx", "-o", "report.pdf"), ("report.pdf", ".html")),
        (("profile", "a.onnx", "--size", "height"), ("--size",)),
        (("finetune", "a.pt", "--data", "digits"), ("--epochs",)),
    ],
)
def test_wrong_usage_is_one_line_and_2(arguments: tuple[str, ...], words: tuple[str, ...], cli: Cli) -> None:
    cli(*arguments).refused(*words)


@pytest.mark.parametrize("command", ["prune", "evaluate", "export", "inspect", "profile", "finetune"])
@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "text"])
def test_wrong_files_are_one_line_and_2(command: str, kind: str, cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / f"{kind}.pt"
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_text("" if kind == "empty" else "this is no network\n")
    before = sorted(tmp_path.iterdir())
    extra = {"evaluate": ["--data", "digits"], "finetune": ["--data", "digits", "--epochs", "1"]}.get(command, [])
    cli(command, path, *extra).refused(path.name)
    assert sorted(tmp_path.iterdir()) == before


def test_a_bug_is_called_a_bug(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compress.pipeline.doctor, "examine", lambda _say: [][0])
    ended = cli("doctor")
    assert ended.code == 70
    assert ended.err.startswith("internal error: IndexError")
    assert "COMPRESS_TRACEBACK" in ended.err
    assert "Traceback" not in ended.err
    monkeypatch.setenv("COMPRESS_TRACEBACK", "1")
    assert "Traceback" in cli("doctor").err


def test_errors_of_the_system_are_the_users(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_say: object) -> None:
        raise OSError(28, "No space left on device", "out.pt2")

    monkeypatch.setattr(compress.pipeline.doctor, "examine", full)
    cli("doctor").refused("out.pt2", "No space left")


def test_what_is_unavailable_ends_with_4(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_say: object) -> None:
        raise UnavailableError("no such device", hint="plug one in")

    monkeypatch.setattr(compress.pipeline.doctor, "examine", missing)
    cli("doctor").refused("no such device; plug one in", code=4)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, click.Abort])
def test_interruption_says_how_to_go_on(stop: type[BaseException], cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(_say: object) -> None:
        raise stop

    monkeypatch.setattr(compress.pipeline.doctor, "examine", stopped)
    ended = cli("doctor")
    assert ended.code == 130
    assert "interrupted: nothing was written; run the same command again" in ended.err


def test_names_are_those_of_the_files() -> None:
    assert tuple(commands.list_commands(click.Context(commands))) == COMMANDS
