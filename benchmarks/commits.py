"""Of what code a figure is."""

from __future__ import annotations

import subprocess
from pathlib import Path


def commit(*code: str) -> str:
    """Return the repository's commit, ``+`` where files below ``code`` were changed since; ``unknown`` without git."""
    root = Path(__file__).parents[1]
    head = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True, check=False
    )
    if head.returncode:
        return "unknown"
    status = ["git", "status", "--porcelain", "--", *code]
    changed = subprocess.run(status, cwd=root, capture_output=True, text=True, check=True).stdout.strip()
    return head.stdout.strip() + ("+" if changed else "")
