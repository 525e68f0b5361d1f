"""The fresh process that measures load time, first inference and peak memory: request on stdin, answer in a file."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from compress.errors import CompressError
from deploy import runtimes
from deploy.feeds import make_feeds

_RUNS = 5


def main() -> None:
    """Read the request, measure, write figures or the error (its text and exit code) as JSON."""
    request = json.load(sys.stdin)
    try:
        answer = _measure(request)
    except CompressError as error:
        answer = {"what": error.what, "where": error.where, "hint": error.hint, "exit_code": error.exit_code}
    Path(request["answer"]).write_text(json.dumps(answer))


def _measure(request: dict[str, Any]) -> dict[str, Any]:
    runtime = runtimes.get(request["runtime"])
    runtime.prepare()
    idle = _peak_memory()
    start = time.perf_counter()
    session = runtime.load(Path(request["path"]), threads=request["threads"])
    loaded = time.perf_counter()
    feeds = make_feeds(session, batch=request["batch"], sizes=request["sizes"], seed=request["seed"])
    began = time.perf_counter()
    session.run(feeds)
    ended = time.perf_counter()
    for _ in range(_RUNS):
        session.run(feeds)
    return {
        "load_time": (loaded - start) * 1e3,
        "first_inference": (ended - began) * 1e3,
        "idle_memory": idle,
        "peak_memory": _peak_memory(),
    }


def _peak_memory() -> int | None:
    """Return this process's peak resident memory in bytes, or ``None`` where the system does not tell."""
    status = Path("/proc/self/status")
    if status.is_file():
        # getrusage would report the parent's peak: Linux carries ru_maxrss over fork and exec.
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None


if __name__ == "__main__":
    main()
