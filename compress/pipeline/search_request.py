"""What a search was asked for, and what of that cannot be, found out before anything is done."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from compress.errors import InputError
from compress.files import check_writable
from compress.pipeline.finetuning import TrainingOptions
from compress.pipeline.loading import Loading, require_file

Decide = Literal["both", "widths", "weights"]
FRONT, DENSE, SUPERNET, STUDY = "front.json", "dense.pt2", "supernet.pt", "study.db"


@dataclass(frozen=True)
class Deciding:
    """What the search decides, and between which bounds; see :func:`compress.search.encoding.encoding_of`."""

    decide: Decide = "both"
    lowest_width: float = 0.5
    lowest_density: float = 0.3
    least_width: Mapping[str, float] = field(default_factory=dict)
    least_density: Mapping[str, float] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True)
class SuperNetOptions:
    """How the shared weights come about.

    ``start`` is ``checkpoint`` (its weights) or ``scratch``; ``supernet`` a file that they are in or go to.
    """

    start: Literal["checkpoint", "scratch"] = "checkpoint"
    supernet: Path | None = None
    supernet_epochs: float = 10.0
    supernet_lr: float | None = None
    statistics: int = 8
    eval_samples: int = 2048


@dataclass(frozen=True)
class Trials:
    """How the search goes: ``targets`` are latencies that the selection spreads the population around."""

    trials: int = 512
    population: int = 32
    targets: int = 4
    at_once: int | None = None


@dataclass(frozen=True)
class Place:
    """Where the study is kept. ``storage`` None is SQLite in the output folder."""

    storage: str | None = None
    study: str | None = None
    resume: bool = False
    patience: float = 300.0


@dataclass(frozen=True)
class Costing:
    """What is minimised beside the loss, and where it is predicted for and measured."""

    objective: Literal["latency", "macs"] = "latency"
    latency_model: Path | None = None
    runtime: str | None = None
    device: str | None = None
    threads: int | None = None
    seconds: float = 3.0


@dataclass(frozen=True)
class Finals:
    """What is made of the front: ``epochs`` of training of each model picked."""

    picks: tuple[str, ...] = ()
    epochs: int = 10
    rho: float | None = None
    restart: bool = False


@dataclass(frozen=True)
class SearchRequest:
    """Everything that the search job needs to know. Either a ``checkpoint`` to search on, or ``source``, the folder of
    a search that ended, to pick from.
    """

    checkpoint: Path | None
    source: Path | None = None
    data: str | None = None
    loading: Loading = field(default_factory=Loading)
    deciding: Deciding = field(default_factory=Deciding)
    supernet: SuperNetOptions = field(default_factory=SuperNetOptions)
    trials: Trials = field(default_factory=Trials)
    place: Place = field(default_factory=Place)
    costing: Costing = field(default_factory=Costing)
    finals: Finals = field(default_factory=Finals)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    output: Path | None = None

    @property
    def folder(self) -> Path:
        """Where everything goes."""
        if self.source is not None:
            return self.output or self.source
        assert self.checkpoint is not None
        return self.output or self.checkpoint.parent / f"{self.checkpoint.stem}.search"

    @property
    def storage(self) -> str:
        """Where the study is."""
        return self.place.storage or f"sqlite:///{self.folder / STUDY}"

    @property
    def study(self) -> str:
        """What the study is called."""
        assert self.checkpoint is not None
        return self.place.study or self.checkpoint.stem

    @property
    def supernet_file(self) -> Path:
        """Where the shared weights are."""
        return self.supernet.supernet or self.folder / SUPERNET

    def check(self) -> None:
        """Fail before any work starts where the request cannot succeed.

        Raises:
            InputError: the message names the option or the file.
        """
        self._check_source()
        self._check_numbers()
        if self.source is None:
            self._check_search()
        for pick in self.finals.picks:
            if self.finals.epochs and self.data is None and self.source is None:
                raise InputError(f"--pick {pick} trains a model", hint="give --data, or --epochs 0")

    def _check_source(self) -> None:
        if self.source is None:
            if self.checkpoint is None:
                raise InputError("nothing to search on", hint="name a CHECKPOINT, or --from DIR of a search that ended")
            require_file(self.checkpoint)
            if self.data is None:
                raise InputError("a search needs data to judge by", hint="give --data REF")
            return
        if self.checkpoint is not None:
            raise InputError("--from picks from a search that ended: leave CHECKPOINT out", where=str(self.checkpoint))
        if not self.finals.picks:
            raise InputError("--from picks from a search that ended", hint="give --pick latency=0.5, knee or all")
        for name in (FRONT, DENSE):
            if not (self.source / name).is_file():
                raise InputError(
                    f"holds no {name}", where=str(self.source), hint="name the folder of a search that ended"
                )

    def _check_numbers(self) -> None:
        trials, net = self.trials, self.supernet
        if trials.population < 2 or trials.trials < 1 or trials.targets < 2 or (trials.at_once or 1) < 1:
            raise InputError(f"a search with these numbers makes no sense: {trials}")
        if not (math.isfinite(net.supernet_epochs) and net.supernet_epochs > 0) or net.eval_samples < 1:
            raise InputError("--supernet-epochs and --eval-samples are above 0")

    def _check_search(self) -> None:
        folder = self.folder
        if folder.exists() and not folder.is_dir():
            raise InputError("is a file, a folder was expected", where=str(folder), hint="give -o DIR")
        if not folder.absolute().parent.is_dir():
            raise InputError("its folder does not exist", where=str(folder), hint=f"create {folder.parent} first")
        has_study = (folder / STUDY).exists()
        if self.place.storage is None and has_study and not self.place.resume:
            raise InputError(
                "holds a study already", where=str(folder), hint="go on with --resume, or give another folder with -o"
            )
        if self.place.storage is None and not has_study and self.place.resume:
            raise InputError("holds no study to go on with", where=str(folder), hint="leave --resume out")
        if self.costing.latency_model is not None:
            require_file(self.costing.latency_model)
        if self.supernet.supernet is not None:
            check_writable(self.supernet.supernet, overwrite=True, option="--supernet")
