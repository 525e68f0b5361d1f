"""The search job: order channels, train shared weights, search, keep the front, make final models of what is picked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compress.errors import InputError
from compress.pipeline.finetuning import load_data
from compress.pipeline.loading import Loading, create_program, open_program
from compress.pipeline.report import Screen
from compress.pipeline.search_cost import cost_of
from compress.pipeline.search_finals import Final, make_finals
from compress.pipeline.search_request import DENSE, FRONT, SearchRequest

if TYPE_CHECKING:
    from compress import Program
    from compress.data import DataSource
    from compress.search.clock import Clock
    from compress.search.costs import Cost
    from compress.search.encoding import Encoding
    from compress.search.examination import Examination
    from compress.search.front import Front
    from compress.search.sampler import GridSampler
    from compress.search.searching import Search
    from compress.search.study import Study
    from compress.search.supernet import SuperNet
    from compress.search.teaching import Lessons

METHOD = "jcw"
_BY_ONE_READING = 8
"""Candidates judged by one reading of data that memory has no room for. They are lost together with their worker."""


@dataclass(frozen=True)
class SearchOutcome:
    """What the job found and made: the front, the models that were picked, and the report where there is one."""

    front: Front
    finals: tuple[Final, ...]
    folder: Path
    report: Path | None


def run(request: SearchRequest, screen: Screen) -> SearchOutcome:
    """Do the whole job.

    Raises:
        compress.errors.CompressError: the user can put it right. What was found so far is kept.
    """
    request.check()
    front = _searched(request, screen) if request.source is None else _earlier(request)
    finals = make_finals(request, front, screen) if request.finals.picks else ()
    from compress.pipeline.search_report import write_report

    return SearchOutcome(front, finals, request.folder, write_report(request, front, finals, screen))


def _earlier(request: SearchRequest) -> Front:
    from compress.search.front import Front

    assert request.source is not None
    front = Front.load(request.source / FRONT)
    for pick in request.finals.picks:
        front.pick(pick)
    return front


def _searched(request: SearchRequest, screen: Screen) -> Front:
    from compress.search.clock import Clock
    from compress.training.devices import Determinism, pick_device

    job = _Job.prepared(request, screen)
    clock = Clock()
    study = job.open_study(clock)
    with Determinism(pick_device("auto")):
        job.teach(study, clock)
        with screen.step("reading what candidates are judged on"):
            examination = job.examination()
        search = job.search(examination)
        with screen.bar(f"searching: {request.trials.trials} trials") as progress:
            throughput = search.run(study, request.trials.trials, clock, progress)
        front = job.front(study, search, examination, throughput.to_json())
    front.save(request.folder / FRONT)
    return front


@dataclass(frozen=True)
class _Job:
    """What a search works with, put together and checked."""

    request: SearchRequest
    screen: Screen
    source: DataSource
    supernet: SuperNet
    cost: Cost
    bounds: tuple[float, float]

    @classmethod
    def prepared(cls, request: SearchRequest, screen: Screen) -> _Job:
        """Load, order, bind the cost and refuse what cannot be reached, before anything is written or trained."""
        from compress.search.ordering import largest_first
        from compress.search.supernet import SuperNet
        from compress.training.devices import pick_device
        from compress.training.fitting import check_fit

        assert request.checkpoint is not None
        assert request.data is not None
        given = open_program(request.checkpoint, request.loading, screen)
        if given.masks:
            raise InputError(
                "has masked weights already", where=str(request.checkpoint), hint="search on the dense network"
            )
        source = load_data(request.data, given, request.training, screen)
        check_fit(given, source, classes=request.training.loss is None)
        with screen.step("putting the largest channels first"):
            dense = largest_first(given)
        encoding, cost = cost_of(request, _encoding(request, dense.copy()), given.fingerprint(), screen)
        bounds = _bounds(request, encoding, cost)
        request.folder.mkdir(exist_ok=True)
        dense.save(request.folder / DENSE, overwrite=True)
        begun = _begun(request, encoding, screen)
        begun.analysis.program.module().to(pick_device("auto"))
        return cls(request, screen, source, SuperNet(begun), cost, bounds)

    @property
    def encoding(self) -> Encoding:
        """What is decided."""
        return self.supernet.encoding

    def open_study(self, clock: Clock) -> Study:
        """Join the study, or begin it."""
        from compress.search.identity import identity_of
        from compress.search.storages import open_storage
        from compress.search.study import Sharing, Study

        request = self.request
        identity = identity_of(
            self.supernet.program,
            self.encoding,
            data=self.source.fingerprint,
            cost=self.cost.settings(),
            teaching=vars(self.lessons()) | {"start": request.supernet.start, "loss": request.training.loss},
            judging={"statistics": request.supernet.statistics, "samples": request.supernet.eval_samples},
            search={
                "method": METHOD,
                "population": request.trials.population,
                "targets": request.trials.targets,
                "first": "cut alike",
                "seed": request.training.seed,
            },
        )
        return Study.open(
            open_storage(request.storage),
            request.study,
            self.sampler(),
            identity,
            metrics=("loss", f"{self.cost.name} {self.cost.unit}".replace("macs MACs", "MACs")),
            clock=clock,
            say=self.screen.say,
            sharing=Sharing(patience=request.place.patience),
        )

    def sampler(self) -> GridSampler:
        """Parents around targets over the whole range of costs; children of the genes that there is a choice for."""
        from compress.search.beginning import alike
        from compress.search.sampler import GridSampler
        from compress.search.selection import UniformTargets, spread_targets

        encoding, trials = self.encoding, self.request.trials
        free = encoding.free
        grid = encoding.grid.of(free)
        names = [name for name, chosen in zip(encoding.names, free, strict=True) if chosen]
        targets = UniformTargets(spread_targets(*self.bounds, trials.targets))
        is_width = (np.arange(free.size) < len(encoding.widths))[free]
        first = alike(grid, is_width, trials.population // 2)
        return GridSampler(
            names, grid, targets, population=trials.population, seed=self.request.training.seed, first=first
        )

    def lessons(self) -> Lessons:
        """How the shared weights are trained; from trained weights more gently."""
        from compress.search.teaching import Lessons

        net, training = self.request.supernet, self.request.training
        batch = training.batch_size or 128
        return Lessons(
            steps=max(1, round(net.supernet_epochs * self.source.training.steps(batch))),
            batch_size=batch,
            lr=net.supernet_lr or (0.05 if net.start == "scratch" else 0.02),
            seed=training.seed,
        )

    def teach(self, study: Study, clock: Clock) -> None:
        """Train the shared weights, and see to it that all workers have the same."""
        from compress.search.identity import identity_of
        from compress.search.taught import teach

        file, lessons = self.request.supernet_file, self.lessons()
        known = identity_of(
            self.supernet.program, self.encoding, data=self.source.fingerprint, loss=self.request.training.loss
        )
        what = f"training the shared weights: {lessons.steps} steps"
        with self.screen.bar(what) as progress:
            made = teach(
                self.supernet,
                self.source,
                lessons,
                file,
                {**known.parts, **{f"lessons.{name}": value for name, value in vars(lessons).items()}},
                clock=clock,
                say=self.screen.say,
                progress=progress,
                loss=self._loss(),
            )
        study.agree(
            "compress.supernet",
            made,
            "the other workers have other shared weights: copy the first one's supernet.pt and name it with --supernet",
        )

    def examination(self) -> Examination:
        """What candidates are judged on."""
        from compress.search.examination import Examination

        net = self.request.supernet
        return Examination(
            self.supernet,
            self.source,
            statistics=net.statistics,
            batch_size=128,
            samples=net.eval_samples,
            seed=self.request.training.seed,
            loss=self._loss(),
        )

    def search(self, examination: Examination) -> Search:
        """The search on them."""
        from compress.search.searching import Search

        batch = self.request.trials.at_once or (1 if examination.is_kept else _BY_ONE_READING)
        return Search(self.encoding, self.cost, examination.losses, batch=batch)

    def front(self, study: Study, search: Search, examination: Examination, throughput: Mapping[str, Any]) -> Front:
        """Sort out what the study has."""
        from compress.search.front import Found, Front, best

        complete = study.complete()
        found = [
            Found(trial.number, trial.values[0], trial.values[1], search.candidate(study.genes(trial)))
            for trial in complete
        ]
        points = best(found)
        kept = {point.number for point in points}
        rest = (one for one in found if one.number not in kept and one.loss < float("inf"))
        others = tuple((one.number, one.loss, one.cost) for one in rest)
        encoding = self.encoding
        dense_loss = examination.loss(encoding.decode(encoding.grid.high))
        settings = self._settings()
        return Front(
            points, others, self.cost.name, self.cost.unit, self.cost.dense, dense_loss, settings, dict(throughput)
        )

    def _settings(self) -> dict[str, Any]:
        request = self.request
        assert request.checkpoint is not None
        return {
            "method": METHOD,
            "checkpoint": request.checkpoint.name,
            "data": request.data,
            "decide": request.deciding.decide,
            "trials": request.trials.trials,
            "population": request.trials.population,
            "seed": request.training.seed,
            "start": request.supernet.start,
            "supernet": request.supernet_file.name if request.supernet.supernet is None else str(request.supernet_file),
            "pattern": self.supernet.pattern,
            "cost": self.cost.settings(),
        }

    def _loss(self) -> Any:
        if self.request.training.loss is None:
            return None
        from compress.training.losses import UserLoss

        return UserLoss(self.request.training.loss)


def _encoding(request: SearchRequest, dense: Program) -> Encoding:
    from compress.search.encoding import encoding_of

    asked = request.deciding
    encoding = encoding_of(
        dense,
        lowest_width=asked.lowest_width,
        lowest_density=asked.lowest_density,
        width_bounds=asked.least_width,
        density_bounds=asked.least_density,
        ignore=asked.ignore,
    )
    if asked.decide == "widths":
        return encoding.holding(densities=[gene.weight for gene in encoding.densities])
    if asked.decide == "weights":
        return encoding.holding(widths=[gene.group for gene in encoding.widths])
    return encoding


def _bounds(request: SearchRequest, encoding: Encoding, cost: Cost) -> tuple[float, float]:
    """The costs of the smallest candidate and of the whole network. A pick below the smallest is refused here."""
    from compress.search.front import Found, Front

    corners = [encoding.decode(encoding.grid.low), encoding.decode(encoding.grid.high)]
    low, high = (float(value) for value in cost.of(corners))
    if not low < high:
        raise InputError(
            f"the smallest candidate costs {low:.4g} {cost.unit}, the whole network {high:.4g}: nothing can be won",
            hint="allow lower bounds with --lowest-width and --lowest-density, or calibrate again",
        )
    floor = Front((Found(0, 0.0, low, corners[0]),), (), cost.name, cost.unit, cost.dense)
    for pick in request.finals.picks:
        floor.pick(pick)
    return low, high


def _begun(request: SearchRequest, encoding: Encoding, screen: Screen) -> Encoding:
    """The encoding over the weights that the training of the shared ones begins with."""
    if request.supernet.start == "checkpoint":
        return encoding
    program = encoding.analysis.program
    reference = program.info.model_ref
    if reference is None:
        raise InputError(
            "does not say which architecture it is, so its weights cannot be drawn anew",
            where=str(request.checkpoint),
            hint="leave --start scratch out, or give a state dict with --model",
        )
    shape = program.inputs[0].shape[1:]
    fresh = create_program(
        reference,
        replace(Loading(), input_size=tuple(shape) if len(shape) == 3 else None),
        request.training.seed,
        screen,
    )
    program.load_state_dict(fresh.state_dict())
    return encoding
