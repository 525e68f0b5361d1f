"""``compress doctor``: what works on this machine, and what to do about the rest."""

from __future__ import annotations

import click

from compress.cli.console import Console
from compress.cli.options import json_option

EXAMPLES = """\b
Examples:
  compress doctor
  compress doctor --json
"""


@click.command(short_help="What works on this machine.", epilog=EXAMPLES)
@json_option
def command(as_json: bool) -> None:
    """Say which parts work on this machine, and how to get the ones that do not."""
    from compress.pipeline.doctor import examine

    console = Console(as_json=as_json)
    with console.step("looking around"):
        findings = examine(console.say)
    console.result({"findings": [vars(finding) for finding in findings]})
    console.table(("part", "state", "detail"), [(found.part, found.state, found.detail) for found in findings])
    missing = [found for found in findings if found.state == "missing" and found.remedy]
    for found in missing:
        console.line(f"{found.part}: {found.remedy}")
