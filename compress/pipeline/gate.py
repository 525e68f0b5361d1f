"""The gate job: accuracy on data where it is asked for, then every other metric, then what is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.errors import InputError
from compress.files import check_writable, write_text
from compress.pipeline.reporter import Reporter

if TYPE_CHECKING:
    from deploy.judging.policy import Policy
    from deploy.records import Verdict


@dataclass(frozen=True)
class GateRequest:
    """What to judge, under which policy, and where to write the verdict."""

    baseline: Path
    candidate: Path
    policy: Policy
    outputs: tuple[Path, ...] = ()
    junit: Path | None = None
    github: bool = False
    force: bool = False

    def check(self) -> None:
        """Raise :class:`InputError` for what would otherwise go wrong after the work was done."""
        from deploy.judging import github

        for path in self.outputs:
            check_writable(path, overwrite=self.force)
        if self.junit is not None:
            check_writable(self.junit, overwrite=self.force, option="--junit")
        if self.github:
            github.check()
        if self.policy.accuracy is not None and self.policy.data is None:
            raise InputError(
                "the policy has a tolerance for accuracy, and no data to measure it on",
                hint="add --data REF, or data: REF to the policy",
            )
        if self.policy.accuracy is None and self.policy.data is not None:
            raise InputError(
                "data are given, and no tolerance for accuracy",
                hint="add --limit accuracy=0.5%, or accuracy: 0.5% to the policy",
            )


def run(request: GateRequest, reporter: Reporter, progress: Callable[[str], Any]) -> Verdict:
    """Judge, write, and return the verdict.

    Args:
        progress: makes a context that yields what shows progress.

    Raises:
        compress.errors.CompressError: a file, the data or an output cannot be used.
    """
    from deploy.judging.judge import judge
    from deploy.modelfile import inspect

    request.check()
    for path in (request.baseline, request.candidate):
        inspect(path)
    outcomes = None
    if request.policy.data is not None:
        from compress.pipeline.outcomes import outcomes_of

        outcomes = outcomes_of(request.baseline, request.candidate, request.policy.data, reporter)
    with progress("comparing") as show:
        verdict = judge(request.baseline, request.candidate, request.policy, outcomes=outcomes, progress=show)
    write(verdict, request)
    return verdict


def write(verdict: Verdict, request: GateRequest) -> None:
    """Write the verdict in every form that was asked for."""
    from deploy.judging import github, junit, markdown

    for path in request.outputs:
        text = markdown.render(verdict) if path.suffix == ".md" else verdict.model_dump_json(indent=2) + "\n"
        write_text(path, text, overwrite=request.force)
    if request.junit is not None:
        write_text(request.junit, junit.render(verdict), overwrite=request.force)
    if request.github:
        github.publish(verdict)
