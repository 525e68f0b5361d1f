"""Other work on every core, as long as it is wanted."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator

# It ends when its parent does: a benchmark that was killed leaves no load behind.
WORK = """
import os
import numpy
parent = os.getppid()
left = numpy.ones((256, 256), numpy.float32)
large = numpy.zeros(4_000_000, numpy.float32)
while os.getppid() == parent:
    for _ in range(50):
        left = left @ left * 0.0 + 1.0
    large += 1.0
"""
SETTLING = 2.0


@contextlib.contextmanager
def loaded(processes: int) -> Iterator[None]:
    """Keep so many processes busy with matrix products and passes over memory while the context is open."""
    single = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    started = [subprocess.Popen([sys.executable, "-c", WORK], env=single) for _ in range(processes)]
    try:
        time.sleep(SETTLING)
        yield
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()
