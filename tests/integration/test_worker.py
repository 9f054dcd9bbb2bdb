"""`manage.py rqworker embeddings` is enough: due tasks, poison, stuck jobs, burst mode, wrong clocks, connections."""

from __future__ import annotations

import operator
import os
import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest
import rq
from django.db import connection, connections
from django.db.models.functions import Now
from django.utils import timezone
from rq.command import send_kill_horse_command
from rq.job import JobStatus

from embeddings import heartbeats, ledger, limiter
from embeddings.models import EmbeddingTask, ProviderState, Status, WorkerStatus
from embeddings.worker import sweep
from tests.integration import sessions
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


def test_worker__kills_a_job_that_is_stuck(workers, tmp_path):
    log = tmp_path / "requests"
    worker = workers.started(
        *worker_class("hasty_worker.HastyWorker"), providers=dummy(LATENCY_SECONDS=1, LOG=str(log))
    )
    make_posts(5)
    wait_until(log.exists)

    os.kill(child_of(worker), signal.SIGSTOP)

    wait_until(lambda: EmbeddingTask.objects.filter(crashes=1).count() == 5, seconds=10)
    wait_until(is_done)
    assert worker.poll() is None


def test_worker__does_not_blame_tasks_for_a_job_that_an_operator_stops(workers, redis_client, tmp_path):
    log = tmp_path / "requests"
    worker = workers.started(providers=dummy(LATENCY_SECONDS=2, LOG=str(log)))
    make_posts(5)
    wait_until(log.exists)

    send_kill_horse_command(redis_client, WorkerStatus.objects.get(pid=worker.pid).name)

    wait_until(lambda: len(log.read_text().splitlines()) == 2, seconds=10)  # Their leases have not ended.
    assert not EmbeddingTask.objects.exclude(crashes=0).exists()
    wait_until(is_done)


def worker_class(path: str) -> tuple[str, str]:
    return "--worker-class", f"tests.integration.{path}"


# An outage of the database.


def test_sweep__gives_workers_time_to_show_that_they_live_after_an_outage_of_the_database(monkeypatch):
    monkeypatch.setattr(sweep, "HEARTBEAT_SECONDS", 1.0)
    make_posts(3)
    swept = sweep.Sweep("sweeper")
    with sessions.session() as other:
        other.execute("ALTER TABLE embeddings_workerstatus RENAME TO away")
        swept.run()
        other.execute("ALTER TABLE away RENAME TO embeddings_workerstatus")
    assert len(claim_for_a_moment()) == 3

    swept.run()
    too_soon = counts()
    time.sleep(2.2)
    swept.run()

    assert too_soon == {"processing": 3}
    assert counts() == {"pending": 3}


def test_sweep__frees_what_the_worker_s_own_job_could_not_give_back():
    make_posts(3)
    swept = sweep.Sweep("sweeper")
    swept.run()
    claim_for_a_moment("sweeper")
    Post.objects.create(title="under a lease")
    ledger.claim("default", 10, worker="sweeper")

    swept.job_ended()
    is_due = swept.is_due()
    swept.run()

    assert is_due
    assert counts() == {"pending": 4}
    assert not EmbeddingTask.objects.exclude(crashes=0).exists()


def test_sweep__blames_other_workers_that_died_nevertheless():
    make_posts(3)
    swept = sweep.Sweep("sweeper")
    claim_for_a_moment()

    swept.job_ended()
    swept.run()

    assert EmbeddingTask.objects.filter(crashes=1).count() == 3


def claim_for_a_moment(worker: str = "dead") -> list[ledger.Claim]:
    """Claims whose lease has ended."""
    claims = ledger.claim("default", 10, worker=worker)
    EmbeddingTask.objects.filter(pk__in=[claim.id for claim in claims]).update(lease_until=Now())
    return claims


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


def test_burst__ends_when_the_provider_is_misconfigured(workers, tmp_path):
    down = tmp_path / "down"
    down.write_text("[[misconfigured]]")
    make_posts(3)

    workers.burst(providers=dummy(DOWN=str(down)))

    assert counts() == {"pending": 3}
    assert ProviderState.objects.get().blocked_reason == "configuration"
    assert not EmbeddingTask.objects.exclude(attempts=0).exists()


# Records.


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


# Clocks.


def test_worker__takes_no_notice_of_a_wall_clock_that_jumps(workers, tmp_path):
    """A day ahead, a day back in the middle of a request, and then two days forth."""
    log, clock = tmp_path / "requests", Clock(tmp_path / "clock")
    clock.set(days=1)
    worker = workers.started(
        *worker_class("jumping_worker.EmbeddingWorker"),
        embeddings={"LEASE_SECONDS": 2, "BATCH_SIZE": 50},
        providers=dummy(LATENCY_SECONDS=7, LOG=str(log)),  # Longer than RQ's parent waits until it looks at its clock.
        WALL_CLOCK=str(clock.path),
    )
    make_posts(50)
    wait_until(log.exists)

    clock.set(days=0)
    time.sleep(1)
    clock.set(days=2)

    wait_until(is_done)
    assert len(log.read_text().splitlines()) == 1
    assert not EmbeddingTask.objects.exclude(crashes=0, attempts=1).exists()
    clock.set(days=0)
    Post.objects.create(title="after it")
    wait_until(is_done)
    assert_stops_when_asked_twice(worker, clock)


def assert_stops_when_asked_twice(worker, clock: Clock) -> None:
    """RQ would take a second request for a duplicate of one that lies in the future."""
    clock.set(days=1)
    Post.objects.create(title="not done before the end")
    wait_until(lambda: child_of(worker))
    wait_until(lambda: EmbeddingTask.objects.filter(status=Status.PROCESSING).exists())
    worker.send_signal(signal.SIGTERM)
    time.sleep(1.1)
    clock.set(days=0)
    worker.send_signal(signal.SIGTERM)
    # It may be past its last line of Python by then, where nobody handles signals any more.
    assert worker.wait(timeout=3) in {0, -signal.SIGTERM}


class Clock:
    """What `jumping_worker` reads."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def set(self, *, days: int) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(str(86_400 * days))
        new.replace(self.path)


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


def test_worker__drops_the_pools_that_the_settings_ask_for(workers):
    worker = workers.started(
        embeddings={"BATCH_SIZE": 10, "DRAIN_SECONDS": 0.2},
        providers=dummy(LATENCY_SECONDS=0.05),
        PGAPPNAME="worker-a",
        DJANGO_SETTINGS_MODULE="tests.integration.pooled_settings",
    )

    numbers = set()
    for _ in range(3):
        make_posts(100)
        while not is_done() or child_of(worker):
            numbers.add(connections_by_name().get("worker-a", 0))
            time.sleep(0.005)

    assert numbers <= {0, 1}
    assert 1 in numbers


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
