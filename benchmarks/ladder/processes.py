"""One process for each network, with limits on time and memory, forked from a server that has imported everything.

The imports take longer than many a network; a network that crashes, hangs or eats the memory takes only its own
process with it.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

from benchmarks.ladder.climbing import climb
from benchmarks.ladder.rows import Row, conditions

_ROOT = Path(__file__).parents[2]
_WATCH = 0.5  # seconds between two looks at time and memory
_PATIENCE = 8  # on a busy machine, a limit of CPU time may take this many times as long; what only waits is ended too


def server() -> multiprocessing.context.ForkServerContext:
    """Return the context whose server has torch, the zoos and this project imported."""
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.ladder.preloading"])
    return context


def run_limited(
    context: multiprocessing.context.ForkServerContext,
    column: str,
    ref: str,
    rungs: Sequence[str],
    *,
    seconds: float,
    megabytes: int,
) -> Row:
    """Run one network in a process of its own and return its row, whatever becomes of the process.

    Args:
        seconds: limit on the CPU time of the process and its children, so that other work does not decide the result.
        megabytes: limit on their memory.
    """
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(theirs, column, ref, tuple(rungs)))
    begun = time.monotonic()
    process.start()
    theirs.close()
    row: Row = {"ref": ref, "rungs": [], "failed": {}, "cpu_seconds": {}, "at": rungs[0]}
    reason = None
    while reason is None:
        if ours.poll(_WATCH):
            try:
                row = ours.recv()
            except EOFError:
                process.join()
                reason = f"the process ended with code {process.exitcode}"
        elif _cpu_seconds(process.pid) > seconds or time.monotonic() - begun > _PATIENCE * seconds:
            reason = f"over the limit of {seconds:g} CPU seconds"
        elif _memory(process.pid) > megabytes * 2**20:
            reason = f"over the limit of {megabytes} MB of memory"
    _end(process)
    stopped_at = row.pop("at", None)
    if stopped_at is not None:
        row["failed"] = row["failed"] | {stopped_at: reason}
    return row | {"wall_seconds": round(time.monotonic() - begun, 1)} | conditions()


def _child(connection: Connection, column: str, ref: str, rungs: tuple[str, ...]) -> None:
    climb(column, ref, rungs, connection.send)


def _tree(pid: int | None) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cpu_seconds(pid: int | None) -> float:
    total = 0.0
    for process in _tree(pid):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue
    return total


def _memory(pid: int | None) -> int:
    total = 0
    for process in _tree(pid):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def _end(process: multiprocessing.process.BaseProcess) -> None:
    """A child that reloads a file is ended with its parent."""
    for member in _tree(process.pid):
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    process.join()
