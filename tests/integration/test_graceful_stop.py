"""Requests to stop, and ends without a request: workers say that they stopped, tasks come back, nothing lives on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import connection, connections, transaction

from embeddings.models import EmbeddingTask, Status, WorkerStatus
from embeddings.worker.databases import connect_anew
from tests.integration import sessions
from tests.integration.conftest import child_of, counts, dummy, wait_until
from tests.testapp.models import Post

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])
without_flush = pytest.fixture(scope="module", autouse=True)(sessions.without_flush)

SIGNALS = [signal.SIGTERM, signal.SIGINT]
# Long enough for a second request to be no duplicate of the first, which RQ passes over.
LATER_SECONDS = 1.1


def make_posts(count: int) -> None:
    Post.objects.bulk_create([Post(title=f"text {number}") for number in range(count)])


def is_done() -> bool:
    return not EmbeddingTask.objects.exclude(status=Status.COMPLETED).exists()


def states() -> set[str]:
    return set(WorkerStatus.objects.values_list("state", flat=True))


def busy_worker(workers, log: Path, *, latency: float, **embeddings: float) -> tuple[subprocess.Popen[bytes], int]:
    """A worker with 100 tasks, whose first request has been sent, and its child."""
    embeddings = {"BATCH_SIZE": 10, "CONCURRENCY": 1, **embeddings}
    worker = workers.started(embeddings=embeddings, providers=dummy(LATENCY_SECONDS=latency, LOG=str(log)))
    make_posts(100)
    wait_until(log.exists)
    return worker, child_of(worker)


def ask_twice(worker: subprocess.Popen[bytes], number: signal.Signals) -> float:
    """Two requests to stop; returns the seconds from the second to the end of the worker."""
    worker.send_signal(number)
    time.sleep(LATER_SECONDS)
    assert worker.poll() is None
    asked_at = time.monotonic()
    worker.send_signal(number)
    assert worker.wait(timeout=15) == 0
    return time.monotonic() - asked_at


def is_alive(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    return False


def assert_given_back(completed: int = 0) -> None:
    """All tasks but so many wait, as if nobody had ever claimed them."""
    expected = {"pending": 100 - completed, "completed": completed}
    assert counts() == {status: count for status, count in expected.items() if count}
    assert not EmbeddingTask.objects.filter(status=Status.PENDING).exclude(attempts=0, crashes=0).exists()


# Idle.


@pytest.mark.parametrize("number", SIGNALS)
def test_stop__of_an_idle_worker(workers, number):
    worker = workers.started(embeddings={"SWEEP_SECONDS": 0.001})

    worker.send_signal(number)

    assert worker.wait(timeout=10) == 0
    assert states() == {"stopped"}


def test_connect_anew__after_an_interruption_in_a_transaction():
    def interrupted() -> tuple[bool, int]:
        transaction.atomic().__enter__()  # It has no end.
        WorkerStatus.objects.count()
        connect_anew()
        return connection.in_atomic_block, WorkerStatus.objects.count()

    with ThreadPoolExecutor(1) as thread:  # whose connections are its own
        seen = thread.submit(interrupted).result()
        thread.submit(connections.close_all).result()

    assert seen == (False, 0)


def test_stop__in_the_very_moment_in_which_a_worker_appears(workers):
    worker = workers.start()
    wait_until(WorkerStatus.objects.exists, seconds=60)

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(timeout=10) == 0
    assert states() == {"stopped"}


def test_stop__of_a_worker_that_waits_for_redis(workers, valkey_server):
    worker = workers.started()
    valkey_server.stop()
    try:
        time.sleep(2)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=10) == 0
    finally:
        valkey_server.start()

    assert states() == {"stopped"}


def test_stop__of_a_worker_without_its_database(workers, postgres_server):
    worker = workers.started()
    connections.close_all()
    postgres_server.kill()
    try:
        time.sleep(1.5)
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=10) == 0
    finally:
        postgres_server.start()
        connections.close_all()

    assert "Traceback" not in workers.output()


# Busy.


@pytest.mark.parametrize("number", SIGNALS)
def test_stop__lets_a_request_settle_and_gives_the_rest_back(workers, tmp_path, number):
    worker, child = busy_worker(workers, tmp_path / "log", latency=2)

    worker.send_signal(number)

    assert worker.wait(timeout=15) == 0, workers.output()
    assert_given_back(completed=10)
    assert set(WorkerStatus.objects.values_list("state", "claimed", "completed")) == {("stopped", 0, 10)}
    assert not WorkerStatus.objects.filter(stopped_at=None).exists()
    assert len((tmp_path / "log").read_text().splitlines()) == 1
    assert not is_alive(child)


def test_stop__gives_back_what_is_not_answered_in_time(workers, tmp_path):
    worker, child = busy_worker(workers, tmp_path / "log", latency=60, GRACE_SECONDS=1)

    worker.send_signal(signal.SIGTERM)

    assert worker.wait(timeout=10) == 0, workers.output()
    assert_given_back()
    assert states() == {"stopped"}
    assert not is_alive(child)


def test_stop__sent_to_the_whole_process_group_as_terminals_do(workers, tmp_path):
    """The duplicates that a terminal and a process manager send within a second are one request."""
    worker, _ = busy_worker(workers, tmp_path / "log", latency=2)

    for _ in range(3):
        worker.send_signal(signal.SIGINT)
        time.sleep(0.1)

    assert worker.wait(timeout=15) == 0
    assert_given_back(completed=10)


@pytest.mark.parametrize("number", SIGNALS)
def test_second_stop__gives_back_at_once(workers, tmp_path, number):
    worker, child = busy_worker(workers, tmp_path / "log", latency=60, GRACE_SECONDS=60)

    seconds = ask_twice(worker, number)

    assert seconds < 5
    assert "killed horse" not in workers.output()
    assert_given_back()
    assert states() == {"stopped"}
    assert not is_alive(child)


def test_second_stop__kills_a_child_that_does_not_end_and_frees_its_tasks(workers, tmp_path):
    worker, child = busy_worker(workers, tmp_path / "log", latency=60, GRACE_SECONDS=60)
    os.kill(child, signal.SIGSTOP)

    seconds = ask_twice(worker, signal.SIGTERM)

    assert seconds < 8
    assert "killed horse" in workers.output()
    assert_given_back()
    assert states() == {"stopped"}
    assert not is_alive(child)


def test_second_stop__without_redis(workers, valkey_server, tmp_path):
    worker, child = busy_worker(workers, tmp_path / "log", latency=60, GRACE_SECONDS=60)
    valkey_server.stop()
    try:
        seconds = ask_twice(worker, signal.SIGTERM)
    finally:
        valkey_server.start()

    assert seconds < 8
    assert_given_back()
    assert states() == {"stopped"}
    assert not is_alive(child)


# Killed.


def test_killed_parent__leaves_a_child_that_gives_back_and_ends(workers, tmp_path):
    worker, child = busy_worker(workers, tmp_path / "log", latency=60, GRACE_SECONDS=1)

    worker.kill()

    wait_until(lambda: not is_alive(child), seconds=10)
    assert_given_back()


def test_killed_parent__leaves_a_child_that_settles_what_is_in_flight(workers, tmp_path):
    worker, child = busy_worker(workers, tmp_path / "log", latency=2)

    worker.kill()

    wait_until(lambda: not is_alive(child), seconds=10)
    assert_given_back(completed=10)


def test_killed_child__is_replaced_and_its_tasks_are_free_at_once(workers, tmp_path):
    worker, child = busy_worker(workers, tmp_path / "log", latency=0.5)

    os.kill(child, signal.SIGKILL)

    wait_until(lambda: EmbeddingTask.objects.filter(crashes=1).count() == 10, seconds=3)
    wait_until(is_done)
    assert worker.poll() is None
    assert WorkerStatus.objects.get(pid=worker.pid).last_error


def test_killed_parent_and_child__are_taken_over_from(workers, tmp_path):
    worker, child = busy_worker(workers, tmp_path / "log", latency=60, LEASE_SECONDS=2)

    worker.kill()
    os.kill(child, signal.SIGKILL)
    workers.start(embeddings={"LEASE_SECONDS": 2}, providers=dummy())

    wait_until(is_done)
    assert EmbeddingTask.objects.filter(crashes=0).count() == 100
