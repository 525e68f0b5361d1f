"""``compress doctor``: what works on this machine, and what to do about the rest."""

from __future__ import annotations

from pathlib import Path

import click

from compress.cli.console import Console
from compress.cli.devices import device_options
from compress.cli.options import json_option
from compress.errors import UnavailableError

EXAMPLES = """\b
Examples:
  compress doctor
  compress doctor --json
  compress doctor --device ssh://pi@raspberrypi.local
  compress doctor --device all
"""


@click.command(short_help="What works on this machine.", epilog=EXAMPLES)
@device_options
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool, devices: tuple[str, ...], devices_file: Path | None) -> None:
    """Say which parts work on this machine, and how to get the ones that do not.

    With --device, say instead what can be measured there: its Python, its packages and runtimes. The exit code is 4
    where a device cannot be reached.
    """
    from compress.pipeline.doctor import examine, examine_devices

    console = Console(as_json=as_json)
    with console.step("looking around"):
        findings = examine_devices(devices, devices_file) if devices else examine(console.say)
    console.result({"findings": [vars(finding) for finding in findings]})
    console.table(("part", "state", "detail"), [(found.part, found.state, found.detail) for found in findings])
    missing = [found for found in findings if found.state == "missing" and found.remedy]
    for found in missing:
        console.line(f"{found.part}: {found.remedy}")
    if devices and missing:
        context.exit(UnavailableError.exit_code)
