"""`manage.py embedding_workers` with real workers: as many as are needed, whatever happens to them."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from embeddings.models import EmbeddingTask, Status, WorkerStatus
from project.development.processes import is_alive
from tests.integration import sessions
from tests.integration.conftest import Workers, counts, dummy, wait_until
from tests.testapp.models import Post

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
without_flush = pytest.fixture(scope="module", autouse=True)(sessions.without_flush)

# One worker ends 5 tasks a second: each request holds as many, and takes a second.
SLOW: dict[str, Any] = {
    "embeddings": {"BATCH_SIZE": 5, "CONCURRENCY": 1, "GRACE_SECONDS": 3},
    "providers": dummy(LATENCY_SECONDS=1.0),
}
# Long enough for a second request to be no duplicate of the first.
LATER_SECONDS = 1.2

Supervise = Callable[..., subprocess.Popen[bytes]]


def make_posts(count: int) -> None:
    Post.objects.bulk_create([Post(title=f"text {number}") for number in range(count)])


def children(supervisor: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return [process for process in psutil.Process(supervisor.pid).children() if is_alive(process)]


def everything(supervisor: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Its workers, and the children in which these run their jobs."""
    return psutil.Process(supervisor.pid).children(recursive=True)


def assert_ended(processes: list[psutil.Process]) -> None:
    """None of them lives, and each worker has said that it stopped."""
    assert not [process for process in processes if is_alive(process)]
    assert set(WorkerStatus.objects.values_list("state", flat=True)) == {WorkerStatus.State.STOPPED}


def working() -> int:
    """How many workers say that they live."""
    return WorkerStatus.objects.exclude(state=WorkerStatus.State.STOPPED).count()


def assert_nothing_is_held() -> None:
    """All tasks are done or wait, as if nobody had ever claimed them."""
    assert set(counts()) <= {"pending", "completed"}
    assert not EmbeddingTask.objects.filter(status=Status.PENDING).exclude(attempts=0, crashes=0).exists()


@pytest.fixture
def supervise(workers: Workers) -> Supervise:
    """Start a supervisor, and return once its fewest workers wait for work."""

    def start(*arguments: str, fewest: int = 1, most: int = 4, **options: Any) -> subprocess.Popen[bytes]:
        bounds = ["--min", str(fewest), "--max", str(most)]
        supervisor = workers.run("embedding_workers", *bounds, *arguments, **{**SLOW, **options})
        wait_until(lambda: working() >= fewest and len(children(supervisor)) >= fewest, seconds=60)
        return supervisor

    return start


# How many.


def test_embedding_workers__are_more_under_a_backlog_and_fewer_when_idle(supervise, workers):
    supervisor = supervise("--target-seconds", "2", "--idle-seconds", "0.5")

    make_posts(150)

    wait_until(lambda: len(children(supervisor)) == 4, seconds=60)
    wait_until(lambda: counts() == {"completed": 150}, seconds=60)
    wait_until(lambda: len(children(supervisor)) == 1)
    assert re.search(r"1 -> 2 workers: .* tasks wait, which one worker at .* ends in about", workers.output())
    assert "4 -> 3 workers: nothing waits" in workers.output()
    assert WorkerStatus.objects.filter(state=WorkerStatus.State.STOPPED).count() == 3


def test_embedding_workers__may_be_none(supervise):
    supervisor = supervise("--idle-seconds", "0.5", fewest=0)
    time.sleep(LATER_SECONDS)
    assert not children(supervisor)

    make_posts(1)

    wait_until(lambda: counts() == {"completed": 1})
    wait_until(lambda: not children(supervisor))


# Those that die.


def test_embedding_workers__one_that_is_killed_is_replaced(supervise, workers):
    supervisor = supervise()
    (killed,) = children(supervisor)

    killed.kill()

    wait_until(lambda: [process.pid for process in children(supervisor)] not in ([], [killed.pid]))
    make_posts(1)
    wait_until(lambda: counts() == {"completed": 1})
    assert re.search(r"Worker 1 .* ended after \d+ s, killed by SIGKILL; it is started again in 1 s", workers.output())


def test_embedding_workers__that_cannot_start_are_tried_ever_later(supervise, workers):
    supervise("--", "--worker-class", "nowhere.Worker", fewest=0)
    make_posts(1)

    wait_until(lambda: "died 3 times in a row" in workers.output(), seconds=60)

    waits = re.findall(r"exit code 1; it is started again in (\d+) s", workers.output())
    assert waits == ["1", "2", "4"]
    assert re.search(r"Its last words: \S*(Error|nowhere)", workers.output())
    # It counts as one that is there: none is started in its place.
    assert "Worker 2" not in workers.output()


# Signals.


def test_stop__waits_for_all_and_loses_nothing(supervise):
    supervisor = supervise(fewest=2)
    make_posts(100)
    wait_until(lambda: len(everything(supervisor)) == 4 and counts().get("completed"))
    processes = everything(supervisor)

    supervisor.terminate()

    assert supervisor.wait(timeout=20) == 0
    assert_ended(processes)
    assert counts().keys() == {"completed", "pending"}
    assert_nothing_is_held()


def test_stop__twice_gives_back_at_once(supervise):
    supervisor = supervise(
        fewest=2,
        embeddings={**SLOW["embeddings"], "GRACE_SECONDS": 60},
        providers=dummy(LATENCY_SECONDS=60),
    )
    make_posts(20)
    wait_until(lambda: len(everything(supervisor)) == 4 and counts().get("processing"))
    processes = everything(supervisor)
    supervisor.send_signal(signal.SIGINT)
    time.sleep(LATER_SECONDS)
    assert supervisor.poll() is None

    supervisor.send_signal(signal.SIGINT)

    assert supervisor.wait(timeout=20) == 0
    assert_ended(processes)
    assert counts() == {"pending": 20}
    assert_nothing_is_held()


def test_kill__of_the_supervisor_ends_its_workers_in_order(supervise, workers):
    supervisor = supervise(fewest=2)
    make_posts(200)
    wait_until(lambda: len(everything(supervisor)) == 4)
    processes = everything(supervisor)

    supervisor.kill()

    wait_until(lambda: not any(is_alive(process) for process in processes))
    assert_ended(processes)
    assert_nothing_is_held()


def test_hang_up__starts_all_anew_one_by_one(supervise, workers):
    supervisor = supervise(fewest=2)
    before = {process.pid for process in children(supervisor)}

    supervisor.send_signal(signal.SIGHUP)

    wait_until(lambda: len(found := {process.pid for process in children(supervisor)}) == 2 and not found & before)
    one_by_one = r"Worker 1 is started anew; 1 more.* Worker 1 started .* Listening .* Worker 2 is started anew; 0 more"
    assert re.search(one_by_one, workers.output(), re.DOTALL)


def test_user_signal__says_how_things_are(supervise, workers):
    supervisor = supervise()
    (worker,) = children(supervisor)
    wait_until(lambda: "stopped" not in workers.output() and working() == 1)
    time.sleep(LATER_SECONDS)  # It has looked since.

    supervisor.send_signal(signal.SIGUSR1)

    wait_until(lambda: f"worker 1 (process {worker.pid}) idle with 0 tasks" in workers.output())
    assert "1 workers of 1 to 4, and 0 elsewhere; 0 tasks wait; one worker ends about" in workers.output()


# Servers that are away.


def test_outage__of_redis_changes_nothing(supervise, workers, valkey_server):
    supervisor = supervise("--idle-seconds", "0.5", fewest=1)
    before = {process.pid for process in children(supervisor)}
    valkey_server.stop()
    try:
        wait_until(lambda: "Redis cannot be reached" in workers.output())
        time.sleep(LATER_SECONDS)
    finally:
        valkey_server.start()

    wait_until(lambda: "What there is to do can be seen again" in workers.output())
    assert workers.output().count("Redis cannot be reached, so that") == 1
    assert {process.pid for process in children(supervisor)} == before


def test_outage__of_the_database_changes_nothing(supervise, workers, postgres_server):
    supervisor = supervise("--idle-seconds", "0.5", fewest=1)
    before = {process.pid for process in children(supervisor)}
    connections.close_all()
    postgres_server.kill()
    try:
        wait_until(lambda: "The database cannot be asked" in workers.output())
        time.sleep(LATER_SECONDS)
    finally:
        postgres_server.start()

    wait_until(lambda: "What there is to do can be seen again" in workers.output())
    assert workers.output().count("The database cannot be asked") == 1
    assert {process.pid for process in children(supervisor)} == before
    make_posts(1)
    wait_until(lambda: counts() == {"completed": 1})


# What cannot be.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max", "0"], "--max must be at least 1 and not less than --min: 0 is less than 1."),
        (["--min", "3", "--max", "2"], "--max must be at least 1 and not less than --min: 2 is less than 3."),
        (["--min", "-1"], "argument --min: must be a whole number, not '-1'."),
        (["--idle-seconds", "nan"], "argument --idle-seconds: must be a number of seconds greater than 0, not 'nan'."),
        (["--", "--name", "one"], "Leave out --name: each worker needs a name of its own, and is given one."),
    ],
)
def test_embedding_workers__refuses(arguments, message):
    with pytest.raises(CommandError, match=re.escape(message)):
        call_command("embedding_workers", *arguments)
