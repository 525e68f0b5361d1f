"""The command line. Commands load by name, and nothing heavy loads before a command runs."""

from __future__ import annotations

from compress.cli.entry import main

__all__ = ["main"]
