"""Studies on real storages: shared, interrupted, lost, of another search."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from compress.errors import StudyError
from compress.search.storages import open_storage
from compress.search.study import LOST, WORKER, Sharing
from tests.compress.search.postgres import Server, why_not
from tests.compress.search.problem import NAME, Worker

TRIALS = 20


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    server = Server()
    server.start()
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", "journal", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        running: Server = request.getfixturevalue("server")
        return running.database()
    return f"{request.param}:///{tmp_path / 'study'}"


@pytest.fixture(params=["sqlite", "journal"])
def file_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"{request.param}:///{tmp_path / 'study'}"


def test_a_search_that_was_interrupted_goes_on_as_if_it_had_not_been(url: str, tmp_path: Path) -> None:
    whole = Worker(f"sqlite:///{tmp_path / 'whole.db'}")
    whole.run(TRIALS)
    for part in (3, 7, 8, TRIALS):  # each as a new process would
        worker = Worker(url)
        worker.run(part)
    assert worker.points() == whole.points()
    other = Worker(f"sqlite:///{tmp_path / 'other.db'}", seed=1)
    other.run(TRIALS)
    assert other.points() != whole.points()


def test_workers_that_begin_at_the_same_moment_all_open_the_storage(url: str) -> None:
    troubles: list[Exception] = []

    def begin() -> None:
        try:
            open_storage(url)
        except Exception as error:  # noqa: BLE001 - a thread's exception would be lost
            troubles.append(error)

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert troubles == []


def test_a_trial_in_hand_when_the_worker_stops_is_drawn_again(url: str, tmp_path: Path) -> None:
    whole = Worker(f"sqlite:///{tmp_path / 'whole.db'}")
    whole.run(TRIALS)
    worker = Worker(url)

    def stopped(candidates: object) -> list[float]:
        raise KeyboardInterrupt

    worker.run(9)
    worker.search._judge = stopped
    with pytest.raises(KeyboardInterrupt):
        worker.run(TRIALS)
    again = Worker(url)
    again.run(TRIALS)
    assert again.points() == whole.points()
    failed = [trial for trial in again.study.trials() if trial.state == TrialState.FAIL]
    assert [trial.user_attrs[LOST] for trial in failed] == ["its worker was stopped (KeyboardInterrupt)"]


def _process(url: str, tmp_path: Path, name: str) -> subprocess.Popen[bytes]:
    mark = tmp_path / name
    command = [sys.executable, "-m", "tests.compress.search.problem", url, str(TRIALS), "600", str(mark)]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.getcwd()})
    deadline = time.monotonic() + 120
    while not mark.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert mark.exists()
    return process


def test_a_killed_worker_loses_its_trial_alone_and_the_others_end_the_search(url: str, tmp_path: Path) -> None:
    victim = _process(url, tmp_path, "victim")
    other = Worker(url, seconds=0.05)
    while not [trial for trial in other.study.trials() if trial.state == TrialState.RUNNING]:
        time.sleep(0.05)
    rest = threading.Timer(1.0, lambda: victim.send_signal(signal.SIGKILL))
    rest.start()
    throughput = other.run(TRIALS)
    rest.join()
    assert victim.wait() == -signal.SIGKILL
    trials = other.study.trials()
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    assert len(complete) == TRIALS
    assert len({tuple(trial.params.values()) for trial in complete}) == TRIALS
    assert {trial.user_attrs[WORKER]["pid"] for trial in complete} == {os.getpid()}
    assert throughput.trials == TRIALS
    lost = [trial.user_attrs[LOST] for trial in trials if trial.state == TrialState.FAIL]
    assert lost.count("its worker died") == 1
    assert not [trial for trial in trials if trial.state == TrialState.RUNNING]


def test_a_worker_of_another_machine_is_given_up_without_a_sign_of_life(url: str) -> None:
    worker = Worker(url)
    worker.study._me = type(worker.study._me)("another machine", 1, 0.0)
    (lost,) = worker.study.ask(TRIALS, 1, lambda genes: {})
    here = Worker(url, sharing=Sharing(grace=1000.0))
    (next_one,) = here.study.ask(TRIALS, 1, lambda genes: {})  # others go on meanwhile
    assert here.study.tell(next_one, (1.0, 2.0))
    assert here.study.trials()[lost.number].state == TrialState.RUNNING
    hasty = Worker(url, sharing=Sharing(grace=0.5))
    hasty.run(TRIALS)  # the last one can only be had when that one is given up
    assert hasty.study.trials()[lost.number].user_attrs[LOST] == "its worker died"
    assert len(hasty.study.complete()) == TRIALS
    assert not worker.study.tell(lost, (1.0, 2.0))


def test_any_optuna_reads_the_study(url: str) -> None:
    worker = Worker(url)
    worker.run(8)
    study = optuna.load_study(study_name=NAME, storage=open_storage(url).storage)
    assert [direction.name for direction in study.directions] == ["MINIMIZE", "MINIMIZE"]
    assert study.metric_names == ["loss", "MACs"]
    assert len(study.user_attrs["fingerprint"]) == 64
    first = study.trials[0]
    assert set(first.params) == set(worker.encoding.names)
    low = worker.encoding.decode(worker.encoding.grid.low)
    assert first.user_attrs["widths"] == low.widths
    assert first.user_attrs["densities"] == low.densities
    assert len(study.best_trials) >= 2


def test_a_study_of_another_search_is_refused_by_its_fingerprint(url: str) -> None:
    Worker(url).run(2)
    with pytest.raises(StudyError, match=r"toy in .*other settings of the search \(seed was 0, is now 1\)"):
        Worker(url, seed=1)


def test_a_study_of_somebody_else_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    optuna.create_study(storage=url, study_name=NAME)
    with pytest.raises(StudyError, match="not a study of this tool"):
        Worker(url)


def test_a_storage_that_goes_away_is_waited_for_and_nothing_is_lost(file_url: str, tmp_path: Path) -> None:
    worker = Worker(file_url)
    worker.run(3)
    file, away = tmp_path / "study", tmp_path / "away"
    original = worker.search._judge

    def judge(candidates: Any) -> list[float]:
        if file.exists() and not worker.said:
            file.rename(away)
            threading.Timer(1.2, lambda: away.rename(file)).start()
        return list(original(candidates))

    worker.search._judge = judge
    worker.run(TRIALS)
    assert any("not there any more" in line for line in worker.said)
    whole = Worker(f"sqlite:///{tmp_path / 'whole.db'}")
    whole.run(TRIALS)
    assert Worker(file_url).points() == whole.points()


def test_a_storage_that_stays_away_is_an_error_that_says_what_to_do(file_url: str, tmp_path: Path) -> None:
    worker = Worker(file_url)
    worker.run(3)
    (tmp_path / "study").rename(tmp_path / "away")
    with pytest.raises(StudyError, match=r"not answered for 2 s.*--resume"):
        worker.run(TRIALS)
    (tmp_path / "away").rename(tmp_path / "study")
    again = Worker(file_url)
    again.run(6)
    assert len(again.study.complete()) == 6


def test_a_database_server_that_crashes_is_waited_for_and_nothing_is_lost(server: Server, tmp_path: Path) -> None:
    worker = Worker(server.database())
    worker.run(3)
    original = worker.search._judge

    def judge(candidates: Any) -> list[float]:
        if not worker.said:
            server.stop()
            threading.Timer(1.2, server.start).start()
        return list(original(candidates))

    worker.search._judge = judge
    worker.run(TRIALS)
    assert any("does not answer" in line for line in worker.said)
    whole = Worker(f"sqlite:///{tmp_path / 'whole.db'}")
    whole.run(TRIALS)
    assert worker.points() == whole.points()


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("nonsense", "is no storage"),
        ("sqlite://", "kept nowhere"),
        ("sqlite:////nowhere/at/all/study.db", "folder does not exist"),
        ("journal:///nowhere/at/all/study.log", "folder does not exist"),
        ("oracle+nothing://somewhere/x", "driver|is no storage|cannot be opened"),
    ],
)
def test_storages_that_are_none(wrong: str, reason: str) -> None:
    with pytest.raises(StudyError, match=reason):
        open_storage(wrong)


def test_a_password_is_not_repeated() -> None:
    with pytest.raises(StudyError) as caught:
        open_storage("postgresql://me:secret@127.0.0.1:1/nothing")
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_or_journal_is_refused(tmp_path: Path) -> None:
    for kind in ("sqlite", "journal"):
        file = tmp_path / kind
        file.write_text("no study\n" * 50)
        with pytest.raises(StudyError, match=r"cannot be (opened|read as a journal)"):
            open_storage(f"{kind}:///{file}")
