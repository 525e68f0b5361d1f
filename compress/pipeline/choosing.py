"""What the prune job chooses: the channels, in the steps that pay and for the latency asked for where that is so."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from compress.errors import InputError
from compress.pipeline.finetuning import run_folder
from compress.pipeline.latency_target import LatencyOptions, LatencyReport, Search, asked_for
from compress.pipeline.reporter import Reporter
from compress.pipeline.steps import BetweenSteps, shared_epochs

if TYPE_CHECKING:
    from torch import nn

    from compress import Program, PruneResult
    from compress.allocation import CostModel, Target
    from compress.data import DataSource
    from compress.latency.staircase import Staircase
    from compress.pipeline.prune import Choice, PruneRequest

AUTO = "auto"
USUAL_RUNTIME = "onnxruntime-cpu"


def latency_target(choice: Choice) -> Target | None:
    """The target in latency, where there is one."""
    from compress.allocation import LATENCY, parse_targets

    return next((target for target in parse_targets(choice.target) if target.measure == LATENCY), None)


def auto_runtime(choice: Choice, options: LatencyOptions) -> str | None:
    """The runtime whose staircase is meant; None where the granularity is a number.

    Raises:
        InputError: the granularity is neither a number nor ``auto`` or ``auto@RUNTIME``.
    """
    if isinstance(choice.granularity, int):
        return None
    word, _, runtime = choice.granularity.partition("@")
    if word != AUTO or choice.granularity.endswith("@"):
        raise InputError(
            f"--granularity {choice.granularity} is not understood", hint=f"write 8, {AUTO} or {AUTO}@{USUAL_RUNTIME}"
        )
    target = latency_target(choice)
    if runtime or (target is not None and target.runtime):
        return runtime or (target.runtime if target else None)
    if options.staircase is not None and options.staircase.exists():
        from compress.latency.staircase import Staircase

        return Staircase.load(options.staircase).key.runtime
    return USUAL_RUNTIME


def _number(choice: Choice) -> int | None:
    return choice.granularity if isinstance(choice.granularity, int) else None


def check(choice: Choice, options: LatencyOptions, *, epochs: float = 0, dry_run: bool = False) -> None:
    """Fail before any work starts where a runtime or a file that is asked for cannot be used.

    Args:
        epochs: of training, some of which would be between steps.

    Raises:
        InputError: an option is wrong, a file is missing, or an option is given that nothing needs.
        UnavailableError: the runtime is not there.
    """
    from compress.pipeline.latency_model import load

    target, runtime = latency_target(choice), auto_runtime(choice, options)
    if target is None and runtime is None and options != LatencyOptions():
        raise InputError(
            "--latency-model, --staircase, --threads, --device and --seconds are about latency, which nothing asks for",
            hint="add --target latency=0.6@RUNTIME or --granularity auto, or leave them out",
        )
    if options.latency_model is not None:
        if target is None:
            raise InputError("--latency-model is for a target in latency", hint="add --target latency=0.6@RUNTIME")
        load(options.latency_model, options.place(str(target.runtime)), _number(choice))
    if target is not None and choice.steps > 1 and epochs:
        raise InputError(
            f"--steps {choice.steps} trains between steps, and {target} chooses channels anew after every measurement",
            hint="leave --steps out, or cut to a smaller latency in several commands",
        )
    if options.staircase is not None and runtime is None:
        raise InputError("--staircase is for --granularity auto", hint="add --granularity auto, or leave it out")
    known = runtime is not None and options.staircase is not None and options.staircase.exists()
    wanted = {target.runtime if target else None, None if known else runtime} - {None}
    for name in sorted(map(str, wanted)):
        options.place(name).check()
    if target is not None and options.latency_model is None and dry_run:
        raise InputError(
            f"a dry run only predicts {target}, and there is no latency model to do it with",
            hint="calibrate with compress calibrate, and give --latency-model FILE",
        )


@dataclass
class Chooser:
    """Chooses as ``request`` says, for one network."""

    request: PruneRequest
    dense: Program
    source: DataSource | None
    reporter: Reporter

    def chosen(self) -> tuple[PruneResult, LatencyReport | None]:
        """Choose and cut; a latency is measured, and corrected, but for a dry run.

        Raises:
            compress.errors.CompressError: the user can put it right.
        """
        import compress
        from compress.allocation import parse_targets

        request = self.request
        plan = compress.Plan.load(request.plan_file) if request.plan_file else None
        target = latency_target(request.choice) if plan is None else None
        if target is None:
            return self._prune(parse_targets(request.choice.target), plan=plan), None
        search = Search(
            self.dense,
            target,
            request.latency.place(str(target.runtime)),
            self._model,
            self._for_latency,
            self.reporter,
            request.latency.seconds,
        )
        result, report = search.predicted() if request.dry_run else search.settled()
        return asked_for(result, list(map(str, parse_targets(request.choice.target))), report), report

    def _for_latency(self, target: Target) -> PruneResult:
        from compress.allocation import parse_targets

        asked = parse_targets(self.request.choice.target)
        return self._prune(tuple(target if one.measure == target.measure else one for one in asked))

    def _prune(self, targets: tuple[Target, ...], **settings: Any) -> PruneResult:
        import compress

        request = self.request
        latency = any(target.runtime for target in targets)
        between = None if self.source is None or request.dry_run or latency else self._between
        what = "choosing channels" if request.dry_run else "choosing and removing channels"
        choice = vars(request.choice) | {"target": targets, "granularity": self._granularity}
        # What trains between steps shows a progress of its own.
        with self.reporter.step(what) if request.choice.steps == 1 or between is None else self.reporter.timed(what):
            return compress.prune(
                self.dense,
                **choice,
                between=between,
                data=self.source,
                seed=request.training.seed,
                dry_run=request.dry_run,
                eager=self._own_module,
                latency_model=self._model if latency else None,
                **settings,
            )

    @cached_property
    def _granularity(self) -> int | Staircase:
        choice, options = self.request.choice, self.request.latency
        runtime = auto_runtime(choice, options)
        if runtime is None:
            assert isinstance(choice.granularity, int)
            return choice.granularity
        from compress.pipeline.staircase import staircase

        return staircase(options.place(runtime), options.staircase, self.reporter)

    @cached_property
    def _model(self) -> CostModel:
        from compress.allocation import LEAST
        from compress.pipeline.latency_model import SUFFIX, BarsAsSteps, calibrated, load, plan_for

        request, choice = self.request, self.request.choice
        target = latency_target(choice)
        assert target is not None
        place = request.latency.place(str(target.runtime))
        if request.latency.latency_model is not None:
            return load(request.latency.latency_model, place, _number(choice))
        usual = LEAST if choice.scope == "global" else 0.0
        beside = request.destination
        return calibrated(
            request.checkpoint,
            request.loading,
            place,
            plan_for(_number(choice), usual if choice.min_keep is None else choice.min_keep),
            file=beside.with_name(f"{beside.stem}.{place.runtime}.{place.threads}t{SUFFIX}"),
            fingerprint=self.dense.fingerprint(),
            screen=BarsAsSteps(self.reporter),
        )

    @cached_property
    def _own_module(self) -> nn.Module | None:
        """The network's own class, where it is to take what is chosen."""
        if self.request.eager is None or self.request.plan_file is not None:
            return None
        from compress.eager.making import reference_of
        from compress.eager.restoring import make

        return make(reference_of(self.dense), self.dense.info.submodule)

    @cached_property
    def _between(self) -> BetweenSteps:
        request = self.request
        assert self.source is not None
        steps = request.choice.steps
        each, last = shared_epochs(request.epochs, steps)
        if steps > 1 and request.epochs:
            self.reporter.say(f"{request.epochs} epochs: {each} after each step, {last} at the end")
        return BetweenSteps(
            self.dense,
            self.source,
            request.training,
            steps,
            each,
            run_folder(request.destination),
            request.restart,
            self.reporter,
        )
