"""The job of searching pruning spaces: populations at exact regimes, their distributions, winners as plans."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from compress.errors import InputError, PlanError
from compress.pipeline.finetuning import TrainingOptions, load_data
from compress.pipeline.loading import Loading, open_program, require_file
from compress.pipeline.report import Screen
from compress.pipeline.search_request import Place

if TYPE_CHECKING:
    from compress.data import DataSource
    from compress.search.clock import Clock
    from compress.search.spaces.analysis import Population
    from compress.search.spaces.evaluating import Evaluator
    from compress.search.spaces.ratios import Reading
    from compress.search.spaces.result import Regime, Result
    from compress.search.spaces.space import Space, Widths
    from compress.search.storages import Opened

METHOD = "spaces"
RESULT, PLANS, STUDY = "spaces.json", "plans", "study.db"


@dataclass(frozen=True)
class Spanning:
    """The space: widths are multiples of ``granularity``, and every group keeps at least ``least_share``."""

    granularity: int = 1
    least_share: float = 0.1
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True)
class Populations:
    """For every regime (share of the MACs): how many recipes of the whole space and of the refined one are judged, in
    how many buckets the ratio is cut, by which reading the space is refined, for how many steps each recipe is trained.
    """

    regimes: tuple[float, ...] = (0.75, 0.5, 0.25)
    recipes: int = 32
    refined: int = 16
    buckets: int = 5
    reading: Reading = "network"
    steps: int = 100

    def check(self) -> None:
        """Raises :class:`InputError` where these make no sense."""
        if self.recipes < 2 * self.buckets:
            raise InputError(
                f"{self.recipes} recipes are too few for {self.buckets} buckets, half of them held out",
                hint=f"--recipes {2 * self.buckets} or more, or fewer --buckets",
            )
        if len(set(self.regimes)) != len(self.regimes) or not self.regimes:
            raise InputError("regimes are missing or given twice", hint="--regime 0.75 --regime 0.5 --regime 0.25")


@dataclass(frozen=True)
class SpacesRequest:
    """Everything that the job needs to know."""

    checkpoint: Path
    data: str
    loading: Loading = field(default_factory=Loading)
    spanning: Spanning = field(default_factory=Spanning)
    populations: Populations = field(default_factory=Populations)
    place: Place = field(default_factory=Place)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    output: Path | None = None

    @property
    def folder(self) -> Path:
        """Where everything goes."""
        return self.output or self.checkpoint.parent / f"{self.checkpoint.stem}.spaces"

    def check(self) -> None:
        """Fail before any work starts. Raises :class:`InputError`."""
        require_file(self.checkpoint)
        self.populations.check()
        folder, own = self.folder, self.place.storage is None
        if folder.exists() and not folder.is_dir():
            raise InputError("is a file, a folder was expected", where=str(folder), hint="give -o DIR")
        if not folder.absolute().parent.is_dir():
            raise InputError("its folder does not exist", where=str(folder), hint=f"create {folder.parent} first")
        if own and (folder / STUDY).exists() and not self.place.resume:
            raise InputError("holds a search already", where=str(folder), hint="go on with --resume, or give -o DIR")
        if own and not (folder / STUDY).exists() and self.place.resume:
            raise InputError("holds no search to go on with", where=str(folder), hint="leave --resume out")


@dataclass(frozen=True)
class SpacesOutcome:
    """What was found, where it is, and the plans of the winners by regime."""

    result: Result
    plans: Mapping[float, Mapping[str, Path]]
    checkpoint: Path
    folder: Path
    report: Path


def run(request: SpacesRequest, screen: Screen) -> SpacesOutcome:
    """Do the whole job.

    Raises:
        compress.errors.CompressError: the user can put it right. What was judged is kept in the study.
    """
    request.check()
    job = _Job.prepared(request, screen)
    found = [job.regime(share) for share in request.populations.regimes]
    result = job.result([regime for regime, _ in found])
    result.save(request.folder / RESULT)
    plans = {regime.share: files for regime, files in found}
    from compress.pipeline.search_spaces_report import write_report

    return SpacesOutcome(
        result, plans, request.checkpoint, request.folder, write_report(request, result, plans, screen)
    )


@dataclass(frozen=True)
class _Job:
    request: SpacesRequest
    screen: Screen
    source: DataSource
    space: Space
    evaluator: Evaluator
    opened: Opened
    clock: Clock

    @classmethod
    def prepared(cls, request: SpacesRequest, screen: Screen) -> _Job:
        from compress.axes.analysis import analyse
        from compress.search.clock import Clock
        from compress.search.spaces.evaluating import Evaluator, Schedule
        from compress.search.spaces.space import space_of
        from compress.search.storages import open_storage
        from compress.training.fitting import check_fit

        program = open_program(request.checkpoint, request.loading, screen)
        if program.masks:
            raise InputError(
                "has masked weights already", where=str(request.checkpoint), hint="search on the dense network"
            )
        source = load_data(request.data, program, request.training, screen)
        check_fit(program, source)
        analysis, asked = analyse(program), request.spanning
        kept = _ignored([group.producers for group in analysis.prunable], asked.ignore)
        space = space_of(analysis, granularity=asked.granularity, least=asked.least_share, ignore=kept)
        for share in request.populations.regimes:
            space.check(share)
        training = request.training
        schedule = Schedule(
            steps=request.populations.steps,
            batch_size=training.batch_size or 128,
            lr=training.lr or 0.01,
            seed=training.seed,
        )
        request.folder.mkdir(exist_ok=True)
        opened = open_storage(request.place.storage or f"sqlite:///{request.folder / STUDY}")
        return cls(request, screen, source, space, Evaluator(space, source, schedule), opened, Clock())

    def regime(self, share: float) -> tuple[Regime, dict[str, Path]]:
        """Judge a regime's populations, and write the plans of its winners."""
        from compress.search.spaces.analysis import as_json, compare, every_reading
        from compress.search.spaces.refining import Refined
        from compress.search.spaces.result import Regime
        from compress.search.spaces.stages import stages_of

        asked, space, stages = self.request.populations, self.space, stages_of(self.space)
        rows = space.sample(share, asked.recipes, self._random(share, 0))
        initial = self._judged(f"{share:g} initial", share, rows)
        readings = every_reading(space, initial, stages=stages, count=asked.buckets)
        chosen = next(one for one in readings if one.reading == asked.reading)
        refined, why = None, None
        try:
            within = Refined(space, chosen.band, asked.reading, stages)
            rows = within.sample(share, asked.refined, self._random(share, 1))
        except PlanError as error:
            why = str(error)
        else:
            refined = self._judged(f"{share:g} refined", share, rows)
        brought = dataclasses.asdict(compare(initial, refined)) if refined else None
        ratios = (self._ratios(initial), self._ratios(refined) if refined else [])
        found = Regime(share, initial, refined, ratios, [as_json(one) for one in readings], brought, why)
        populations = {"initial": initial}
        if refined is not None:
            # The best of equally many of the whole space: what the refined winner is to be compared with.
            populations[f"initial-{len(refined.rows)}"] = initial.first(len(refined.rows))
            populations["refined"] = refined
        return found, self._plans(share, populations)

    def result(self, regimes: Sequence[Regime]) -> Result:
        """All of it, with the dense network's error beside."""
        from compress.search.spaces.evaluating import accuracy
        from compress.search.spaces.result import Result

        request, space = self.request, self.space
        groups = tuple(group.name for group in space.analysis.prunable)
        dense = 1 - accuracy(space.analysis.program.copy(), self.source)
        settings = {
            "method": METHOD,
            "checkpoint": request.checkpoint.name,
            "data": request.data,
            "seed": request.training.seed,
            **dataclasses.asdict(request.populations),
            **dataclasses.asdict(request.spanning),
            "seconds": {part: round(spent, 1) for part, spent in self.clock.seconds.items()},
        }
        return Result(groups, tuple(regimes), dense, settings)

    def _judged(self, name: str, share: float, rows: Widths) -> Population:
        from compress.search.spaces.analysis import Population
        from compress.search.spaces.population import RecipeSampler, judge
        from compress.search.study import Sharing, Study

        request = self.request
        study = Study.open(
            self.opened,
            f"{request.place.study or request.checkpoint.stem} {name}",
            RecipeSampler(self.space, rows),
            self._identity(share, rows),
            metrics=("error",),
            clock=self.clock,
            say=self.screen.say,
            sharing=Sharing(patience=request.place.patience),
        )
        with self.screen.bar(f"{name}: {len(rows)} recipes") as progress:
            errors = judge(
                study,
                rows,
                self.evaluator.error,
                self.clock,
                describe=lambda row: {"macs": float(self.space.macs(row[None])[0])},
                progress=progress,
            )
        return Population(rows, errors)

    def _identity(self, share: float, rows: Widths) -> Any:
        from compress.search.identity import Identity

        program = self.space.analysis.program
        return Identity(
            {
                "network": program.structure_hash(),
                "weights": program.fingerprint(),
                "data": self.source.fingerprint,
                "decisions": [share, rows.tolist()],
                "teaching": dataclasses.asdict(self.evaluator.schedule),
            }
        )

    def _plans(self, share: float, populations: Mapping[str, Population]) -> dict[str, Path]:
        folder = self.request.folder / PLANS
        folder.mkdir(exist_ok=True)
        files = {}
        for name, population in populations.items():
            best = population.best
            settings = {"method": METHOD, "regime": share, "space": name, "error": float(population.errors[best])}
            plan = self.space.plan(population.rows[best], self.evaluator.order, settings)
            files[name] = folder / f"{share:g}-{name}.plan.json"
            plan.save(files[name], overwrite=True)
        return files

    def _ratios(self, population: Population) -> list[float]:
        from compress.search.spaces.ratios import log_ratios

        return [float(ratio) for ratio in np.exp(log_ratios(self.space, population.rows, "network")[:, 0])]

    def _random(self, share: float, phase: int) -> np.random.Generator:
        return np.random.default_rng([self.request.training.seed, round(share * 1e6), phase])


def _ignored(producers: Sequence[Sequence[str]], patterns: Sequence[str]) -> list[int]:
    """Positions of the groups that a pattern names. Raises :class:`InputError` for one that names nothing."""
    import fnmatch

    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(layer, pattern) for layers in producers for layer in layers):
            raise InputError(f"--ignore {pattern!r} matches no layer that could shrink", hint="* matches anything")
    return [
        index
        for index, layers in enumerate(producers)
        if any(fnmatch.fnmatchcase(layer, pattern) for layer in layers for pattern in patterns)
    ]
