"""`manage.py rqworker embeddings` is enough: due tasks, dead workers, poison, burst mode, orderly ends."""

from __future__ import annotations

import operator
import os
import signal
import time
from datetime import timedelta

import pytest
import rq
from django.db import connection, connections
from django.utils import timezone
from rq.job import JobStatus

from embeddings import heartbeats, ledger, limiter
from embeddings.models import EmbeddingTask, ProviderState, Status, WorkerStatus
from tests.integration.conftest import child_of, counts, dummy, openai, wait_until
from tests.openai_server import OpenAIServer
from tests.testapp.models import Memo, Post, Word

pytestmark = pytest.mark.django_db(transaction=True)


def make_posts(count: int, text: str = "text") -> list[Post]:
    return Post.objects.bulk_create([Post(title=f"{text} {number}") for number in range(count)])


def is_done() -> bool:
    return not EmbeddingTask.objects.exclude(status=Status.COMPLETED).exists()


# Due tasks, lost pokes, expired leases.


def test_worker__starts_due_tasks_in_time_and_finds_what_redis_and_dead_workers_lost(workers, redis_client, settings):
    worker = workers.started(embeddings={"BACKOFF_BASE_SECONDS": 1.5}, providers=dummy())

    # A debounce: the poke of the save comes a second too early to be of use.
    memo = Memo.objects.create(text="debounced")
    wait_until(is_done)
    task = EmbeddingTask.objects.get(object_id=memo.pk)
    late = task.claimed_at - task.created_at - timedelta(seconds=1)
    assert timedelta() <= late < timedelta(seconds=2)

    # A retry delay.
    post = Post.objects.create(title="[[transient]]")
    scheduled = wait_until(lambda: EmbeddingTask.objects.filter(object_id=post.pk, status="scheduled").first())
    again = wait_until(lambda: EmbeddingTask.objects.filter(pk=scheduled.pk, attempts=2).first())
    assert timedelta() <= again.claimed_at - scheduled.available_at < timedelta(seconds=2)
    post.delete()

    # A poke that Redis loses: with the worker held still, and no job of it running, it cannot be faster.
    wait_until(lambda: child_of(worker) is None)
    worker.send_signal(signal.SIGSTOP)
    Post.objects.create(title="its poke is lost")
    redis_client.flushall()
    worker.send_signal(signal.SIGCONT)
    wait_until(is_done, seconds=10)

    # A lease that ran out, with no poke at all: the row is not saved, and nobody gives the task back.
    settings.EMBEDDINGS = {**settings.EMBEDDINGS, "LEASE_SECONDS": 0.5}
    wait_until(lambda: child_of(worker) is None)
    worker.send_signal(signal.SIGSTOP)
    Post.objects.create(title="its worker died")
    redis_client.flushall()
    assert len(ledger.claim("default", 10, worker="dead")) == 1
    worker.send_signal(signal.SIGCONT)
    wait_until(is_done, seconds=10)
    assert worker.poll() is None


# Killed workers.


def test_worker__gets_the_tasks_of_its_killed_child_back_at_once(workers, tmp_path):
    log = tmp_path / "requests"
    worker = workers.started(providers=dummy(LATENCY_SECONDS=1.0, LOG=str(log)))
    make_posts(5)
    wait_until(log.exists)

    os.kill(child_of(worker), signal.SIGKILL)
    wait_until(lambda: EmbeddingTask.objects.filter(crashes=1).count() == 5, seconds=2)

    wait_until(is_done)
    assert worker.poll() is None
    assert WorkerStatus.objects.get(pid=worker.pid).last_error


def test_worker__takes_over_from_another_that_was_killed_with_its_child(workers, tmp_path):
    log = tmp_path / "requests"
    short = {"LEASE_SECONDS": 2}
    killed = workers.started(embeddings=short, providers=dummy(LATENCY_SECONDS=60, LOG=str(log)))
    make_posts(5)
    wait_until(log.exists)

    child = child_of(killed)
    killed.kill()
    os.kill(child, signal.SIGKILL)
    workers.start(embeddings=short, providers=dummy())

    wait_until(is_done, seconds=30)


def test_worker__outlives_its_database(workers, postgres_server, tmp_path):
    log = tmp_path / "requests"
    worker = workers.started(embeddings={"LEASE_SECONDS": 3}, providers=dummy(LATENCY_SECONDS=1.0, LOG=str(log)))
    make_posts(5)
    wait_until(log.exists)

    connections.close_all()
    postgres_server.kill()
    time.sleep(2.5)  # The job ends, and the worker sweeps, without a database.
    postgres_server.start()
    connections.close_all()

    wait_until(is_done)
    assert worker.poll() is None


@pytest.mark.parametrize("batch_size", [256, 1000])
def test_worker__quarantines_only_the_text_that_kills_workers(workers, batch_size):
    worker = workers.started(embeddings={"BATCH_SIZE": batch_size}, providers=dummy(ALLOW_CRASH=True))
    posts = make_posts(batch_size - 1)
    poison = Post.objects.create(title="[[crash]]")

    wait_until(lambda: counts() == {"completed": batch_size - 1, "failed": 1}, seconds=40)

    task = EmbeddingTask.objects.get(status=Status.FAILED)
    assert (task.object_id, task.error_kind, task.crashes) == (str(poison.pk), "crash", 5)
    assert Post.objects.filter(pk__in=[post.pk for post in posts], embedding=None).count() == 0
    assert worker.poll() is None


# Burst mode.


def test_burst__works_a_backlog_to_its_end_and_leaves_what_is_not_due(workers):
    make_posts(500)
    retried = Post.objects.create(title="[[transient]]")
    later = Memo.objects.create(text="later")
    EmbeddingTask.objects.filter(object_id=later.pk).update(available_at=timezone.now() + timedelta(hours=1))

    workers.burst(embeddings={"BATCH_SIZE": 100, "BACKOFF_BASE_SECONDS": 60}, providers=dummy())

    # The rest of its batch waits for its retry with the one at which the provider broke.
    scheduled = EmbeddingTask.objects.filter(status=Status.SCHEDULED)
    assert counts() == {"completed": 502 - scheduled.count(), "scheduled": scheduled.count()}
    assert 2 <= scheduled.count() <= 101
    assert set(scheduled.filter(attempts=0)) == {EmbeddingTask.objects.get(object_id=later.pk)}
    assert scheduled.filter(object_id=retried.pk, attempts=1).exists()


def test_burst__ends_while_the_provider_cools_down(workers):
    make_posts(3)
    limiter.rate_limited("default", 60, "wait")

    workers.burst(providers=dummy())

    assert counts() == {"pending": 3}


def test_burst__ends_when_the_provider_is_misconfigured(workers):
    make_posts(3, "[[misconfigured]]")

    workers.burst(providers=dummy())

    assert counts() == {"pending": 3}
    assert ProviderState.objects.get().blocked_reason == "configuration"
    assert not EmbeddingTask.objects.exclude(attempts=0).exists()


# Orderly ends.


def test_worker__settles_what_is_in_flight_and_gives_the_rest_back_when_it_is_asked_to_stop(workers, tmp_path):
    log = tmp_path / "requests"
    options = {
        "embeddings": {"BATCH_SIZE": 10, "CONCURRENCY": 1},
        "providers": dummy(LATENCY_SECONDS=2.0, LOG=str(log)),
    }
    processes = [workers.start(**options), workers.start(**options)]
    workers.wait_for(*processes)
    make_posts(100)
    wait_until(lambda: log.exists() and len(log.read_text().splitlines()) == 2)

    asked_at = time.monotonic()
    for process, number in zip(processes, [signal.SIGTERM, signal.SIGINT], strict=True):
        process.send_signal(number)
    codes = [process.wait(timeout=20) for process in processes]
    took = time.monotonic() - asked_at

    assert codes == [0, 0], workers.output()
    assert took < 7  # The request itself takes 2 s.
    assert counts() == {"completed": 20, "pending": 80}
    assert len(log.read_text().splitlines()) == 2
    assert not EmbeddingTask.objects.filter(status=Status.PENDING).exclude(attempts=0, crashes=0).exists()
    assert set(WorkerStatus.objects.values_list("state", "claimed", "completed")) == {("stopped", 0, 10)}
    assert not WorkerStatus.objects.filter(stopped_at=None).exists()


def test_worker__is_registered_as_stopped_also_when_it_was_idle(workers):
    processes = [workers.start(embeddings={"SWEEP_SECONDS": 0.001}) for _ in range(2)]
    workers.wait_for(*processes)

    for process, number in zip(processes, [signal.SIGTERM, signal.SIGINT], strict=True):
        process.send_signal(number)

    assert [process.wait(timeout=10) for process in processes] == [0, 0]
    assert set(WorkerStatus.objects.values_list("state", flat=True)) == {"stopped"}


def test_worker__reports_what_it_holds_and_what_it_has_done(workers):
    worker = workers.started(providers=dummy(LATENCY_SECONDS=3.0))
    make_posts(7)
    Word.objects.create(word="one", meaning="broken")

    def status() -> WorkerStatus:
        return WorkerStatus.objects.get(pid=worker.pid)

    wait_until(lambda: status().state == "active")
    assert status().claimed == 7
    wait_until(lambda: counts() == {"completed": 7, "failed": 1})
    wait_until(lambda: status().state == "idle", seconds=5)
    assert (status().claimed, status().completed, status().failed, status().rate_limited) == (0, 7, 1, 0)


def test_idle__leaves_the_error_of_the_last_job_to_be_seen():
    heartbeats.born("w")
    heartbeats.erred("w", "A job of this worker was killed.")

    heartbeats.idle("w")

    assert WorkerStatus.objects.get().state == "error"


# Other queues.


def test_worker__works_other_queues_as_rq_does(workers, redis_client):
    """Jobs of other queues are pickled, as RQ's are by default, and ours are not."""
    settings = {"DJANGO_SETTINGS_MODULE": "tests.integration.two_queues_settings"}
    queue = rq.Queue("default", connection=redis_client)
    worker = workers.started("default", **settings)
    good = queue.enqueue(operator.add, 2, 3, meta={"pickled": timedelta(1)})
    bad = queue.enqueue(operator.truediv, 1, 0)
    Post.objects.create(title="beside them")

    wait_until(lambda: good.get_status(refresh=True) == JobStatus.FINISHED)
    wait_until(lambda: bad.get_status(refresh=True) == JobStatus.FAILED)
    wait_until(is_done)

    assert good.return_value() == 5
    assert "ZeroDivisionError" in bad.latest_result().exc_string
    assert worker.poll() is None


def test_worker__is_rq_s_own_on_a_queue_that_is_not_ours(workers, redis_client):
    settings = {"DJANGO_SETTINGS_MODULE": "tests.integration.two_queues_settings"}
    queue = rq.Queue("default", connection=redis_client)
    worker = workers.start_on("default", **settings)
    post = Post.objects.create(title="not its business")
    slow = queue.enqueue(time.sleep, 1.5)
    wait_until(lambda: slow.get_status(refresh=True) == JobStatus.STARTED)

    worker.send_signal(signal.SIGTERM)  # A warm shutdown: the job is worked to its end.

    assert worker.wait(timeout=10) == 0
    assert slow.get_status(refresh=True) == JobStatus.FINISHED
    assert EmbeddingTask.objects.get(object_id=post.pk).status == Status.PENDING
    assert not WorkerStatus.objects.exists()


# Several at once.


def test_workers__share_the_work_pay_each_text_once_and_use_one_connection_each(workers):
    with OpenAIServer(latency_seconds=0.1) as server:
        names = ["worker-a", "worker-b", "worker-c"]
        processes = [
            workers.start(embeddings={"BATCH_SIZE": 50}, providers=openai(server), PGAPPNAME=name) for name in names
        ]
        workers.wait_for(*processes)
        make_posts(3000)

        most = dict.fromkeys(names, 0)
        while not is_done():
            for name, number in connections_by_name().items():
                most[name] = max(most[name], number)
            time.sleep(0.02)

        assert counts() == {"completed": 3000}
        assert not Post.objects.filter(embedding=None).exists()
        assert server.stats.inputs == 3000
        assert server.stats.paid_more_than_once() == {}
        assert most == dict.fromkeys(names, 1)
        wait_until(lambda: sum(WorkerStatus.objects.values_list("completed", flat=True)) == 3000)
        assert WorkerStatus.objects.filter(completed__gt=0).count() == 3


def connections_by_name() -> dict[str, int]:
    """How many connections each of the worker processes has to the test's first database."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT application_name, count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'worker-%%' GROUP BY 1"
        )
        return dict(cursor.fetchall())


def test_worker__keeps_its_lease_but_no_transaction_while_it_waits_for_the_provider(workers, tmp_path):
    log = tmp_path / "requests"
    options = {"embeddings": {"LEASE_SECONDS": 1.5}, "providers": dummy(LATENCY_SECONDS=3.0, LOG=str(log))}
    workers.started(**options, PGAPPNAME="worker-a")
    make_posts(20)
    wait_until(log.exists)

    longest = 0.0
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT COALESCE(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8"
                " FROM pg_stat_activity WHERE application_name = 'worker-a'"
            )
            longest = max(longest, *cursor.fetchone())

    assert longest < 1  # Only looks for more tasks and signs of life, each over at once.
    assert ledger.rescue() == 0  # The lease was prolonged.
    wait_until(is_done)
