"""``--device`` and ``--devices``: where something is measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def device_options(function: Decorated) -> Decorated:
    """``--device NAME`` (repeatable, passed on as ``devices``) and ``--devices FILE`` (as ``devices_file``)."""
    where = click.option(
        "--device",
        "devices",
        multiple=True,
        metavar="NAME|ssh://USER@HOST[:PORT]|all",
        help="Where to measure; repeatable. Names are those of devices.yaml, all is all of them, here is this machine.",
    )
    file = click.option(
        "--devices",
        "devices_file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="The file that names devices. [./devices.yaml, or ~/.config/compress/devices.yaml]",
    )
    return where(file(function))
