"""A search's study on optuna: trials that are begun, told and lost, by one worker or by many that share a storage."""

from __future__ import annotations

import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from compress.errors import StudyError
from compress.search.clock import Clock
from compress.search.drawing import Drawer
from compress.search.identity import KEY, Identity
from compress.search.sorting import Array
from compress.search.storages import TROUBLES, Opened, Patience
from compress.search.workers import GRACE, INTERVAL, Pulse, Watch, Worker

optuna.logging.set_verbosity(optuna.logging.WARNING)
WORKER, SIGN, TICKET, LOST = "worker", "alive", "ticket", "lost"
_DOUBLES = 8  # points that another worker drew at the same moment, before one is tried twice
_POLL = 0.5
Describe = Callable[[Array], Mapping[str, Any]]


@dataclass(frozen=True)
class Ticket:
    """A trial that this worker has begun: its number in the study, and its point."""

    number: int
    trial_id: int
    genes: Array


@dataclass(frozen=True)
class Sharing:
    """How a worker deals with a storage and with the other workers, in seconds.

    Attributes:
        patience: how long a storage that does not answer is waited for.
        interval: between signs of life.
        grace: without one until another machine's worker is taken for dead.
    """

    patience: float = 300.0
    interval: float = INTERVAL
    grace: float = GRACE


class Study:
    """One worker's view of a study. Make it with :meth:`open`."""

    def __init__(
        self,
        study: optuna.Study,
        storage: BaseStorage,
        sampler: Drawer,
        patient: Patience,
        clock: Clock,
        sharing: Sharing,
    ) -> None:
        self._study, self._sampler, self._patient, self._clock = study, sampler, patient, clock
        self._storage = storage
        self._sharing, self._watch, self._me = sharing, Watch(sharing.grace), Worker.here()

    @classmethod
    def open(
        cls,
        opened: Opened,
        name: str,
        sampler: Drawer,
        identity: Identity,
        *,
        metrics: Sequence[str],
        clock: Clock,
        say: Callable[[str], None],
        sharing: Sharing | None = None,
    ) -> Study:
        """Join the study of this name, or begin it.

        Raises:
            StudyError: it belongs to another search, or the storage cannot be reached.
        """
        sharing = sharing or Sharing()
        patient = Patience(opened, sharing.patience, say)
        where = f"{name} in {opened.name}"
        with clock.of("storage"):
            study = patient(lambda: _joined(opened, name, sampler, identity, metrics))
            identity.check(patient(lambda: study.user_attrs).get(KEY), where)
        return cls(study, opened.storage, sampler, patient, clock, sharing)

    def agree(self, key: str, value: str, what: str) -> None:
        """Record ``value`` for all workers, or refuse to work beside those that have another.

        Raises:
            StudyError: ``what``, with a hint.
        """
        with self._clock.of("storage"):
            before = self._patient(lambda: self._study.user_attrs).get(key)
            if before is None:
                self._patient(lambda: self._study.set_user_attr(key, value))
        if before not in (None, value):
            raise StudyError(what, where=self._study.study_name)

    def trials(self) -> list[FrozenTrial]:
        """All trials as they are now, in the order of their numbers."""
        with self._clock.of("storage"):
            return self._patient(lambda: self._study.get_trials(deepcopy=False))

    def complete(self) -> list[FrozenTrial]:
        """The trials that have values."""
        return [trial for trial in self.trials() if trial.state == TrialState.COMPLETE]

    def genes(self, trial: FrozenTrial) -> Array:
        """The point of a trial, of shape (genes,)."""
        return self._sampler.genes(trial)

    def ask(
        self, wanted: int, count: int, describe: Describe, stopped: Callable[[], bool] = lambda: False
    ) -> list[Ticket]:
        """Begin up to ``count`` trials of one generation; none where ``wanted`` are complete, or when ``stopped``.

        Where the rest of them are being worked on, wait until they are complete, or lost and to be done again.
        """
        while True:
            tickets: list[Ticket] = []
            while len(tickets) < count:
                found = self._begin(wanted, tickets, describe)
                if found is None:
                    break
                tickets.append(found)
            if tickets or stopped() or self._is_over(wanted):
                return tickets
            with self._clock.of("waiting"):
                time.sleep(_POLL)

    def tell(self, ticket: Ticket, values: Sequence[float]) -> bool:
        """Record a trial's values; False where others took this worker for dead and the trial for lost."""
        values = [float(value) if value == value else float("inf") for value in values]
        with self._clock.of("storage"):
            return self._patient(lambda: self._finish(ticket, TrialState.COMPLETE, values))

    def withdraw(self, ticket: Ticket, why: str) -> None:
        """Give a trial up: it counts as lost and is drawn again."""
        with self._clock.of("storage"):
            self._patient(lambda: self._lose(ticket, why))

    @contextmanager
    def at_work(self, tickets: Sequence[Ticket]) -> Iterator[None]:
        """Show signs of life while the block works on ``tickets``; what the block raises withdraws them."""

        def beat(count: int) -> None:
            for ticket in tickets:
                self._storage.set_trial_user_attr(ticket.trial_id, SIGN, count)

        try:
            with Pulse(beat, (*TROUBLES, UpdateFinishedTrialError), self._sharing.interval):
                yield
        except StudyError:
            raise  # the storage is what cannot be reached
        except BaseException as error:
            for ticket in tickets:
                self.withdraw(ticket, f"its worker was stopped ({type(error).__name__})")
            raise

    def _is_over(self, wanted: int) -> bool:
        return len(self.complete()) >= wanted

    def _begin(self, wanted: int, mine: Sequence[Ticket], describe: Describe) -> Ticket | None:
        """Begin a trial that nobody else has; None where there is nothing to begin now."""
        for tried in range(_DOUBLES + 1):
            trials = self._buried(self.trials())
            drawn = self._drawn(trials, wanted, mine)
            if drawn is None:
                return None
            point, generation = drawn
            with self._clock.of("storage"):
                ticket, earlier = self._patient(self._recorder(point, generation, describe(point)))
            double = any(_equal(self._sampler.genes(trial), point) for trial in earlier)
            if len(earlier) < wanted and (not double or tried == _DOUBLES):
                return ticket
            self.withdraw(ticket, "another worker was first")
        return None

    def _drawn(self, trials: Sequence[FrozenTrial], wanted: int, mine: Sequence[Ticket]) -> tuple[Array, int] | None:
        """The next point and its generation; None where there are enough trials, or this generation's are begun."""
        with self._clock.of("select"):
            if sum(trial.state != TrialState.FAIL for trial in trials) >= wanted:
                return None
            generation = self._sampler.generation_after(trials)
            if mine and self._sampler.left_in(trials, generation) <= 0:
                return None
            return self._patient(lambda: self._sampler.draw(self._study, trials, generation)), generation

    def _recorder(
        self, point: Array, generation: int, said: Mapping[str, Any]
    ) -> Callable[[], tuple[Ticket, list[FrozenTrial]]]:
        """What begins a trial: all at once, since a storage takes as long for one figure as for all of them.

        It may be called again after a trouble: what it did before is found by the ticket.
        """
        mark = uuid.uuid4().hex
        template = create_trial(
            state=TrialState.RUNNING,
            params=dict(self._sampler.params(point)),
            distributions=self._sampler.space(),
            user_attrs={**said, WORKER: self._me.recorded(), SIGN: 0, TICKET: mark},
            system_attrs=self._sampler.marks(generation),
        )
        begun = [False]

        def record() -> tuple[Ticket, list[FrozenTrial]]:
            found = self._found(mark) if begun[0] else None
            begun[0] = True
            made = found if found is not None else self._storage.create_new_trial(self._study._study_id, template)
            trials = self._study.get_trials(deepcopy=False)
            mine = next(trial for trial in trials if trial._trial_id == made)
            earlier = [one for one in trials if one.number < mine.number and one.state != TrialState.FAIL]
            return Ticket(mine.number, made, point), earlier

        return record

    def _found(self, mark: str) -> int | None:
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return next((trial._trial_id for trial in running if trial.user_attrs.get(TICKET) == mark), None)

    def _buried(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        """The trials, those whose worker died marked as failed."""
        dead = [trial for trial in trials if trial.state == TrialState.RUNNING and self._is_dead(trial)]
        for trial in dead:
            self.withdraw(Ticket(trial.number, trial._trial_id, self.genes(trial)), "its worker died")
        return self.trials() if dead else trials

    def _is_dead(self, trial: FrozenTrial) -> bool:
        worker = Worker.of(trial.user_attrs.get(WORKER) or {})
        return worker != self._me and self._watch.is_dead(trial.number, worker, trial.user_attrs.get(SIGN))

    def _lose(self, ticket: Ticket, why: str) -> None:
        try:
            self._storage.set_trial_user_attr(ticket.trial_id, LOST, why)
        except UpdateFinishedTrialError:
            return  # another worker has seen it, too
        self._finish(ticket, TrialState.FAIL, None)

    def _finish(self, ticket: Ticket, state: TrialState, values: list[float] | None) -> bool:
        """Return whether the trial now has this state, and these values."""
        try:
            self._storage.set_trial_state_values(ticket.trial_id, state, values)
        except UpdateFinishedTrialError:
            told = self._study.get_trials(deepcopy=False)[ticket.number]
            return told.state == state and told.values == values
        return True


def _equal(one: Array, other: Array) -> bool:
    """Whether two points are the same, bit by bit."""
    return one.tobytes() == other.tobytes()


def _joined(opened: Opened, name: str, sampler: Drawer, identity: Identity, metrics: Sequence[str]) -> optuna.Study:
    """The study of this name; where there is none it is made, and what it is a study of noted before anything else."""
    try:
        study = optuna.create_study(
            storage=opened.storage, study_name=name, sampler=sampler, directions=["minimize"] * len(metrics)
        )
    except DuplicatedStudyError:
        return _loaded(opened, name, sampler)
    study.set_user_attr(KEY, dict(identity.parts))
    study.set_user_attr("fingerprint", identity.fingerprint)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # optuna's names of objectives
        study.set_metric_names(list(metrics))
    return study


def _loaded(opened: Opened, name: str, sampler: Drawer) -> optuna.Study:
    """The study that somebody began, once it is known what it is a study of."""
    study = optuna.load_study(study_name=name, storage=opened.storage, sampler=sampler)
    for _ in range(20):
        if KEY in study.user_attrs:
            break
        time.sleep(0.25)
    return study
