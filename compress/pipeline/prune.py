"""The prune job: load, measure, prune, re-estimate batch norm, finetune from the dense network, save."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compress.errors import InputError
from compress.files import check_writable, sha256_file
from compress.pipeline.choosing import Chooser
from compress.pipeline.choosing import check as check_latency
from compress.pipeline.finetuning import (
    Metrics,
    TrainingOptions,
    finetune,
    finish,
    how_to_resume,
    is_first_process,
    load_data,
    measure,
    run_folder,
)
from compress.pipeline.latency_target import LatencyOptions, LatencyReport
from compress.pipeline.loading import Loading, open_program, require_file, require_program_suffix
from compress.pipeline.masking import Masking, masked_at_once
from compress.pipeline.reporter import Reporter
from compress.pipeline.steps import shared_epochs, step_folder

if TYPE_CHECKING:
    from compress import Program, PruneResult
    from compress.data import DataSource
    from compress.eager.making import EagerForm
    from compress.sparsity.report import SparsityReport

NO_DATA = "accuracy unknown: no data given"
NOT_MEASURED = "accuracy not measured: a dry run"


@dataclass(frozen=True)
class Choice:
    """What to cut: the arguments of :func:`compress.prune`; ``granularity`` may be ``auto`` or ``auto@RUNTIME``."""

    target: str = "macs=0.5"
    criterion: str = "l2"
    scope: str = "global"
    granularity: int | str = 8
    ignore: tuple[str, ...] = ()
    keep: Mapping[str, float] = field(default_factory=dict)
    aggregation: str = "mean"
    normalisation: str | None = None
    min_keep: float | None = None
    steps: int = 1
    schedule: str = "linear"

    def check(self, *, has_data: bool) -> None:
        """Fail before any work starts. Raises :class:`compress.errors.CompressError` naming the option."""
        from compress.allocation import parse_targets
        from compress.importance import criterion

        parse_targets(self.target)
        if criterion(self.criterion).needs_data and not has_data:
            raise InputError(f"--criterion {self.criterion} needs --data", hint="give --data, or use --criterion l2")


@dataclass(frozen=True)
class PruneRequest:
    """Everything that the prune job needs to know. ``output`` None means ``CHECKPOINT.pruned.pt2`` beside it.

    ``cut`` False leaves every channel: masks alone are asked for. Where both are, channels go first: masks chosen on
    the network that is left lose none of their blocks to the cut, and no zero is spent on a channel that goes anyway.
    """

    checkpoint: Path
    choice: Choice = field(default_factory=Choice)
    masking: Masking = field(default_factory=Masking)
    cut: bool = True
    loading: Loading = field(default_factory=Loading)
    latency: LatencyOptions = field(default_factory=LatencyOptions)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    data: str | None = None
    epochs: int = 0
    plan_file: Path | None = None
    save_plan: Path | None = None
    eager: Path | None = None
    dry_run: bool = False
    output: Path | None = None
    force: bool = False
    restart: bool = False

    @property
    def destination(self) -> Path:
        """The file to write."""
        return self.output or self.checkpoint.parent / f"{self.checkpoint.stem}.pruned.pt2"

    @property
    def folders(self) -> list[Path]:
        """Where the training keeps its state: after each step, and at the end."""
        last = run_folder(self.destination)
        return [*(step_folder(last, step) for step in range(1, self.choice.steps)), last]

    def check(self) -> None:
        """Fail before any work starts where the request cannot succeed.

        Raises:
            InputError: the message names the option or the file.
        """
        require_file(self.checkpoint)
        if self.cut:
            self.choice.check(has_data=self.data is not None or self.plan_file is not None)
            check_latency(self.choice, self.latency, epochs=self.epochs, dry_run=self.dry_run)
        self.masking.check(has_data=self.data is not None, epochs=self.epochs)
        if self.epochs and not self.data:
            raise InputError("--epochs needs --data to finetune on", hint="give --data, or leave --epochs out")
        require_program_suffix(self.destination)
        if self.plan_file is not None:
            from compress.plan import Plan

            require_file(self.plan_file)
            Plan.load(self.plan_file)  # its form; whether it fits the network is seen when that is loaded
        if self.save_plan is not None and not self.cut:
            raise InputError("--save-plan has no channels to write", hint="leave it out, or give a --target to cut to")
        if self.save_plan is not None:
            check_writable(self.save_plan, overwrite=self.force, option="--save-plan")
        if not self.dry_run:
            check_writable(self.destination, overwrite=self.force)
            if self.eager is not None:
                from compress.eager.making import check_folder

                check_folder(self.eager, overwrite=self.force)

    def how_to_resume(self) -> str:
        """Return what Ctrl-C should say."""
        return how_to_resume(self.destination, self.epochs)


@dataclass(frozen=True)
class PruneOutcome:
    """What the prune job did: ``result`` where channels were cut, ``sparsity`` where weights were masked.

    ``accuracy`` maps dense, pruned, batch_norm and finetuned to metrics where measured; ``latency`` is what a target in
    latency came to.
    """

    program: Program
    result: PruneResult | None
    sparsity: SparsityReport | None
    output: Path | None
    accuracy: Mapping[str, Metrics] | None
    eager: Path | None = None
    has_data: bool = False
    plan: Path | None = None
    latency: LatencyReport | None = None

    @property
    def why_no_accuracy(self) -> str:
        """What is said where no accuracy was measured."""
        return NOT_MEASURED if self.has_data else NO_DATA


def run(request: PruneRequest, reporter: Reporter) -> PruneOutcome:
    """Do the whole job and return what happened.

    Raises:
        compress.errors.CompressError: the user can put it right; nothing was written.
    """
    request.check()
    dense = open_program(request.checkpoint, request.loading, reporter)
    _check_reference(request, dense)
    source = load_data(request.data, dense, request.training, reporter) if request.data else None
    accuracy: dict[str, Metrics] = {}
    if source is not None and not request.dry_run:
        accuracy["dense"] = measure(dense, source, request.training, "accuracy of the dense network", reporter)
    result, latency = Chooser(request, dense, source, reporter).chosen() if request.cut else (None, None)
    program = _cut(dense, result, request) if result else dense
    form = _eager_form(request, program, result, reporter)  # before any training: the class may not take these widths
    masked = masked_at_once(program, dense, request.masking, source, reporter, seed=request.training.seed)
    sparsity = masked.report if masked else None
    if request.dry_run:
        _save_plan(request, result)
        has_data = source is not None
        return PruneOutcome(dense, result, sparsity, None, None, None, has_data, request.save_plan, latency)
    program = masked.program if masked else program
    if source is not None:
        program, grown = _recover(request, dense, program, source, accuracy, reporter)
        sparsity = grown or sparsity
    _remember(program, request, result, sparsity, accuracy, latency)
    if is_first_process():
        program.save(request.destination, overwrite=request.force)
        _save_plan(request, result)
        if form is not None and request.eager is not None:
            form.save(program, request.eager, overwrite=request.force)
        for folder in request.folders:
            finish(folder)
    written = request.destination, accuracy or None, request.eager, source is not None, request.save_plan
    return PruneOutcome(program, result, sparsity, *written, latency)


def _cut(dense: Program, result: PruneResult, request: PruneRequest) -> Program:
    """The network with its channels cut; a dry run's result holds the one given."""
    if not request.dry_run:
        return result.program
    from compress.pruning import apply_plan

    return apply_plan(dense, result.plan)


def _check_reference(request: PruneRequest, dense: Program) -> None:
    if request.eager is not None:
        from compress.eager.making import reference_of

        reference_of(dense)


def _eager_form(
    request: PruneRequest, program: Program, result: PruneResult | None, reporter: Reporter
) -> EagerForm | None:
    if request.eager is None:
        return None
    from compress.eager.making import EagerForm

    with reporter.step("cutting the network's own class"):
        return EagerForm.of(program, result.fit if result else None)


def _recover(
    request: PruneRequest,
    dense: Program,
    program: Program,
    source: DataSource,
    accuracy: dict[str, Metrics],
    reporter: Reporter,
) -> tuple[Program, SparsityReport | None]:
    """Bring accuracy back: batch-norm statistics first, then finetuning with the dense network as teacher."""
    from compress.training import reestimate_batch_norm

    if request.cut or program.masks:  # else the finetuning is to do everything
        what = "cutting" if request.cut else "masking"
        accuracy["pruned"] = measure(program, source, request.training, f"accuracy after {what}", reporter)
        with reporter.step("re-estimating batch-norm statistics"):
            reestimate_batch_norm(program, source, seed=request.training.seed)
        accuracy["batch_norm"] = measure(
            program, source, request.training, "accuracy after batch-norm re-estimation", reporter
        )
    grown = None
    if request.epochs:
        steps = request.choice.steps if request.cut else 1
        program, accuracy["finetuned"], grown = finetune(
            program,
            source,
            request.training,
            epochs=shared_epochs(request.epochs, steps)[1],
            teacher=dense,
            folder=run_folder(request.destination),
            restart=request.restart,
            reporter=reporter,
            sparsity=request.masking.gradual(program, dense, seed=request.training.seed),
        )
    return program, grown


def _save_plan(request: PruneRequest, result: PruneResult | None) -> None:
    if request.save_plan is not None and result is not None:
        result.plan.save(request.save_plan, overwrite=request.force)


def _remember(
    program: Program,
    request: PruneRequest,
    result: PruneResult | None,
    sparsity: SparsityReport | None,
    accuracy: Mapping[str, Metrics],
    latency: LatencyReport | None,
) -> None:
    """Keep in the file what a report needs later: the figures and the layers as they were cut and masked."""
    sha256 = sha256_file(request.checkpoint)
    for step in program.info.provenance:
        if step.verb in ("prune", "sparsify") and step.input_sha256 is None:
            step.input_sha256 = sha256
    source = {"source": {"file": request.checkpoint.name, "sha256": sha256}}
    if result is not None:
        program.info.metrics["pruning"] = summary(result) | source
    if sparsity is not None:
        program.info.metrics["sparsity"] = sparsity.to_json() | source
    if latency is not None:
        program.info.metrics["latency"] = latency.to_json()
    if accuracy:
        program.info.metrics["accuracy"] = {"data": request.data, **accuracy}


def summary(result: PruneResult) -> dict[str, Any]:
    """Return the report of pruning as JSON types."""
    report = result.report
    return {
        "requested": report.requested,
        "achieved": report.achieved,
        "note": report.note,
        "patterns_lost": dict(report.patterns_lost),
        "reachable": report.reachable,
        "unknown_operators": report.unknown_operators,
        "out_of_reach": report.obstacles.to_json(),
        "before": report.before.summary(),
        "after": report.after.summary(),
        "layers": [asdict(layer) for layer in report.layers],
        "steps": {name: asdict(step) for name, step in report.steps.items()},
    }
