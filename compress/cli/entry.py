"""The ``compress`` command: finds commands by name, and turns what goes wrong into one line and an exit code."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence

import click

from compress.cli.interrupt import Interrupted
from compress.errors import CompressError

COMMANDS = (
    "prune",
    "search",
    "finetune",
    "evaluate",
    "export",
    "profile",
    "calibrate",
    "compatibility",
    "report",
    "gate",
    "why",
    "inspect",
    "sensitivity",
    "doctor",
)
EXIT_USAGE = 2
EXIT_BUG = 70
EXIT_INTERRUPTED = 130

EPILOG = """\b
Exit codes:
  0    success
  1    the gate found a regression
  2    the input is wrong (one line on stderr: what, where, what to do)
  3    the gate could not decide, or was asked for less than this machine can resolve
  4    a requested runtime or device is not available
  70   a bug in this tool (COMPRESS_TRACEBACK=1 shows where)
  130  interrupted; the message says how to go on

\b
Start with:
  compress prune model.pt
  compress COMMAND --help
"""


class LazyCommands(click.Group):
    """A group whose commands live in ``compress.cli.NAME`` and are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f"compress.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        return command


@click.group(
    cls=LazyCommands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(package_name="compress-toolchain", prog_name="compress")
def commands() -> None:
    """A trained network goes in; a smaller, verified, measured one comes out, ready to deploy."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line with ``arguments`` (default: the process's own) and exit with its code."""
    _end_as_interrupted()
    sys.exit(run(arguments))


def _end_as_interrupted() -> None:
    """Let what ends a process politely (kill, a CI that stops a job) clean up and say how to go on, as Ctrl-C does."""
    process = os.getpid()

    def end(number: int, _frame: object) -> None:
        if os.getpid() == process:
            raise KeyboardInterrupt
        signal.signal(number, signal.SIG_DFL)  # a forked child ends at once: cleaning up is its parent's
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, end)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code, having said on stderr what went wrong."""
    try:
        code = commands.main(
            args=list(arguments) if arguments is not None else None, prog_name="compress", standalone_mode=False
        )
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        return _fail(_usage(error), EXIT_USAGE)
    except CompressError as error:
        return _fail(" ".join(str(error).split()), error.exit_code)
    except Interrupted as error:
        click.echo(f"\ninterrupted: {error}", err=True)
        return EXIT_INTERRUPTED
    except (click.Abort, KeyboardInterrupt):
        click.echo("\ninterrupted: nothing was written; run the same command again", err=True)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe has gone (head, less); nothing is left to say to anyone.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}", EXIT_USAGE)
    except Exception as error:  # noqa: BLE001 - the last line of defence: a bug must not look like a user's mistake
        return _bug(error)


def _usage(error: click.ClickException) -> str:
    """What the user got wrong on the command line, and where the help is."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else "compress"
    return f"{' '.join(error.format_message().split()).rstrip('.')}; see {path} --help"


def _fail(message: str, code: int) -> int:
    click.echo(f"{'interrupted' if code == EXIT_INTERRUPTED else 'error'}: {message}", err=True)
    return code


def _bug(error: Exception) -> int:
    if os.environ.get("COMPRESS_TRACEBACK"):
        traceback.print_exception(error)
    message = " ".join(str(error).split())[:300]
    last = traceback.extract_tb(error.__traceback__)[-1]
    click.echo(
        f"internal error: {type(error).__name__}: {message} ({os.path.basename(last.filename)}:{last.lineno}); this is "
        "a bug in the tool, not in your input; COMPRESS_TRACEBACK=1 shows where it happened",
        err=True,
    )
    return EXIT_BUG
