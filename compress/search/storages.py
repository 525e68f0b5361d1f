"""Where a study is kept: SQLite, PostgreSQL, MySQL, or a journal file that several machines share.

A file that vanishes while it is open would go on being written to, by a handle to what nobody can find any more: every
access looks whether it is still the file that was opened.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import optuna
import sqlalchemy
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages._rdb import models
from optuna.storages.journal import JournalFileBackend
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from compress.errors import StudyError

Result = TypeVar("Result")
Say = Callable[[str], None]
JOURNAL = "journal://"
TROUBLES = (StorageInternalError, SQLAlchemyError, OSError)
"""What a storage raises that cannot be reached for the moment."""
_LOCK_SECONDS = 30
_POSTGRESQL = "postgresql+psycopg"
_TRIES, _PAUSE = 10, 0.2
_FORMS = "sqlite:///FILE, postgresql://USER@HOST/DATABASE, mysql://... or journal:///FILE"


@dataclass(frozen=True)
class Opened:
    """A storage, what to call it (no password in it), and the file it is, where it is one."""

    storage: BaseStorage
    name: str
    file: Path | None

    def check(self, identity: tuple[int, int] | None) -> None:
        """Raise ``OSError`` where the file is not the one of ``identity`` any more."""
        if self.file is None:
            return
        if not self.file.exists():
            raise FileNotFoundError(f"{self.file} is not there any more")
        if self.identity() != identity:
            raise OSError(f"{self.file} was replaced by another file")

    def identity(self) -> tuple[int, int] | None:
        """What tells the file from another of the same name."""
        if self.file is None:
            return None
        found = self.file.stat()
        return found.st_dev, found.st_ino


def open_storage(url: str) -> Opened:
    """Open, or make, the storage at ``url``: a file of SQLite, a database, or a journal.

    ``sqlite:///FILE`` is relative and ``sqlite:////FILE`` is not, as SQLAlchemy reads them; ``journal:///FILE`` is the
    file of that absolute name, which several machines may share.

    Raises:
        StudyError: it cannot be opened, or its driver is not installed.
    """
    if url.startswith(JOURNAL):
        return _journal(Path(os.path.normpath(url.removeprefix(JOURNAL).replace("//", "/"))))
    try:
        parsed = sqlalchemy.engine.make_url(url)
    except ArgumentError as error:
        raise StudyError(f"{url!r} is no storage", hint=f"give {_FORMS}") from error
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername=_POSTGRESQL)  # which driver SQLAlchemy takes depends on its version
    shown, file = parsed.render_as_string(hide_password=True), None
    options: dict[str, Any] = {"pool_pre_ping": True}
    if parsed.get_backend_name() == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise StudyError(f"{url!r} is kept nowhere", hint="give sqlite:///FILE")
        file = Path(parsed.database)
        _check_folder(file, shown)
        options = {"connect_args": {"timeout": _LOCK_SECONDS}}
    try:
        storage = _made(parsed.render_as_string(hide_password=False), options)
    except (ImportError, NoSuchModuleError) as error:
        raise StudyError(
            f"the driver of {parsed.drivername} is not installed ({error})",
            where=shown,
            hint="pip install 'compress-toolchain[postgresql]'"
            if "postgres" in url
            else "install the driver that SQLAlchemy names",
        ) from error
    except (*TROUBLES, RuntimeError, ValueError) as error:
        raise StudyError(f"cannot be opened ({_said(error)})", where=shown, hint=f"give {_FORMS}") from error
    if file is not None:
        _quicken(storage)
    return Opened(optuna.storages.get_storage(storage), shown, file)


def _made(url: str, options: dict[str, Any]) -> RDBStorage:
    """Open a database, and make its tables; another worker that makes them at the same moment is no trouble."""
    for left in reversed(range(_TRIES)):
        try:
            return _Quick(url, engine_kwargs=options)
        except SQLAlchemyError as error:
            if not left or not (isinstance(error, IntegrityError) or "exist" in str(error)):
                raise
            time.sleep(_PAUSE)
    raise AssertionError("unreachable")


def _journal(file: Path) -> Opened:
    shown = f"{JOURNAL}{file}"
    _check_folder(file, shown)
    try:
        return Opened(JournalStorage(JournalFileBackend(str(file))), shown, file)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudyError(
            f"cannot be read as a journal ({_said(error)})", where=shown, hint="give another file"
        ) from error


def _check_folder(file: Path, shown: str) -> None:
    if file.is_dir():
        raise StudyError("is a folder, a file was expected", where=shown, hint="name a file in it")
    if not file.absolute().parent.is_dir():
        raise StudyError("its folder does not exist", where=shown, hint=f"create {file.parent} first")


class _Quick(RDBStorage):
    """Optuna asks the database several times for every parameter whether others of its name are distributed alike. All
    trials of a search share one space, by its fingerprint: here a trial's parameters are written together, unasked.
    """

    def _set_trial_param_without_commit(
        self,
        session: Any,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None = None,
    ) -> None:
        row = models.TrialParamModel(
            trial_id=trial_id,
            param_name=param_name,
            param_value=param_value_internal,
            distribution_json=distribution_to_json(distribution),
        )
        session.add(row)


def _quicken(storage: RDBStorage) -> None:
    """A commit waits for the disk at the moments that keep the file whole, and at no more."""

    @sqlalchemy.event.listens_for(storage.engine, "connect")
    def relax(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA synchronous=NORMAL")

    storage.engine.dispose()


class Patience:
    """Calls what needs the storage again and again while it cannot be reached, for at most ``seconds`` at a time.

    Args:
        opened: the storage.
        say: told what is waited for.
        saved: what the final message says of what is lost.
    """

    def __init__(self, opened: Opened, seconds: float, say: Say) -> None:
        self._opened, self._seconds, self._say = opened, seconds, say
        self._identity = opened.identity()

    def __call__(self, call: Callable[[], Result]) -> Result:
        """Return what ``call`` returns.

        Raises:
            StudyError: the storage could not be reached for too long.
        """
        begun, wait = time.monotonic(), 0.5
        while True:
            try:
                self._opened.check(self._identity)
                return call()
            except TROUBLES as error:
                left = self._seconds - (time.monotonic() - begun)
                if left <= 0:
                    raise StudyError(
                        f"the storage has not answered for {self._seconds:g} s ({_said(error)})",
                        where=self._opened.name,
                        hint="what it holds is not lost: once it is back, give the same command with --resume",
                    ) from error
                self._say(f"the storage does not answer ({_said(error)}): trying again in {min(wait, left):.1f} s")
                time.sleep(min(wait, left))
                wait = min(2 * wait, 30.0)


def _said(error: BaseException) -> str:
    """The reason in a line: SQLAlchemy's own, where optuna's wrapper says nothing of it."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    text = str(cause).splitlines()[0] if str(cause) else type(cause).__name__
    return text.strip()[:200]
