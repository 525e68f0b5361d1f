"""The progress bar of a run: loss, accuracy and time left; nothing where nobody is looking."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class ProgressBar:
    """A bar on stderr over all steps; silent when ``quiet`` or when stderr is no terminal."""

    def __init__(self, title: str, total: int, *, done: int = 0, quiet: bool = False) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=quiet or not sys.stderr.isatty(),
            transient=False,
        )
        self._task = self._bar.add_task(title, total=total, completed=done, figures="")

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def advance(self, figures: dict[str, float], title: str | None = None) -> None:
        """Count one step and show ``figures``: names ending in a digit are shares, shown in per cent."""
        shown = "  ".join(f"{name} {_shown(name, value)}" for name, value in figures.items())
        self._bar.update(self._task, advance=1, figures=shown, description=title)

    def say(self, line: str) -> None:
        """Print a line above the bar, where there is one."""
        if not self._bar.disable:
            self._bar.console.print(line, highlight=False)


def _shown(name: str, value: float) -> str:
    return f"{value:.2%}" if name.startswith("top") else f"{value:.4f}"
