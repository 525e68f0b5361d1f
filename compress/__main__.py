"""``python -m compress``: the command line, for launchers that start modules (``torchrun -m compress ...``)."""

from __future__ import annotations

from compress.cli import main

if __name__ == "__main__":
    main()
