"""A script in two processes that train together, as torchrun starts them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
PATIENCE = 400  # seconds


def launch(folder: Path, text: str) -> Path:
    """Write ``text`` to ``folder/run.py``, run it twice with the folder as its argument, and return its path."""
    script = folder / "run.py"
    script.write_text(text)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    launched = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2",
            "--master-addr", "127.0.0.1", "--master-port", str(port), str(script), str(folder),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )  # fmt: skip
    assert launched.returncode == 0, launched.stderr[-3000:]
    return script
