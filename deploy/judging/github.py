"""A verdict on GitHub Actions: annotations, the job's summary, the step's outputs.

https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from compress.errors import InputError
from deploy.judging import markdown
from deploy.records import Verdict
from deploy.wording import WORDS

SUMMARY = "GITHUB_STEP_SUMMARY"
OUTPUT = "GITHUB_OUTPUT"


def check(environment: Mapping[str, str] = os.environ) -> None:
    """Raise :class:`InputError` where there is no job summary to write to: this is no step of a GitHub job."""
    if not environment.get(SUMMARY):
        raise InputError(
            f"--github needs the file that {SUMMARY} names, and it is not set",
            hint="use it in a step of a GitHub job, or write -o verdict.md",
        )


def publish(verdict: Verdict, environment: Mapping[str, str] = os.environ) -> None:
    """Add the verdict to the job's summary and to the step's outputs (``status``, ``exit-code``, ``slowdown``).

    Both files are appended to, as GitHub asks: other steps and tools write to them, too.

    Raises:
        InputError: one of them cannot be written.
    """
    check(environment)
    slowdown = "" if verdict.slowdown is None else f"{verdict.slowdown:.6f}"
    outputs = f"status={verdict.status}\nexit-code={verdict.exit_code}\nslowdown={slowdown}\n"
    _append(environment[SUMMARY], markdown.render(verdict))
    if environment.get(OUTPUT):
        _append(environment[OUTPUT], outputs)


def commands(verdict: Verdict) -> list[str]:
    """Return a workflow command for each metric that did not pass: an error for a failure, else a warning."""
    told = []
    for finding in verdict.findings:
        if finding.status != "pass":
            kind = "error" if finding.status == "fail" else "warning"
            title = f"compress gate: {finding.metric} {WORDS[finding.status]}"
            told.append(f"::{kind} title={_property(title)}::{_message(finding.text)}")
    return told


def _append(path: str, text: str) -> None:
    try:
        with Path(path).open("a", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise InputError(f"cannot be written ({error.strerror or error})", where=path) from error


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
