"""What is kept of attempts: a row each, and the sums of each minute."""

from __future__ import annotations

import os
import signal
from datetime import timedelta

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Sum
from django.db.models.functions import Now
from django.utils import timezone

from embeddings import direct, histogram, ledger, metrics, stats, tally
from embeddings.failure import Failure
from embeddings.models import (
    AuditEvent,
    EmbeddingTask,
    ProviderMinute,
    ProviderTotal,
    Status,
    TargetMinute,
    TargetTotal,
    TaskAttempt,
)
from embeddings.search import vectors
from tests.integration import sessions
from tests.integration.conftest import child_of, counts, dummy, wait_until
from tests.ledger_rows import make_task
from tests.testapp.models import Post

without_flush = pytest.fixture(scope="module", autouse=True)(sessions.without_flush)
pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])

TARGET = "testapp.post.embedding"


def attempts() -> list[tuple[str, bool, int, str]]:
    rows = TaskAttempt.objects.order_by("pk")
    return list(rows.values_list("outcome", "is_final", "number", "error_class"))


def target_minutes(target: str = TARGET) -> dict[str, int]:
    names = ("completed", "attempts_failed", "failed")
    sums = TargetMinute.objects.filter(target=target).aggregate(**{name: Sum(name) for name in names})
    return {name: int(sums[name] or 0) for name in names}


def requested_again(task: EmbeddingTask, since: timedelta) -> EmbeddingTask:
    EmbeddingTask.objects.filter(pk=task.pk).update(requested_at=Now() - since)
    task.refresh_from_db()
    return task


# Attempts.


def test_attempts__of_a_task_that_is_completed_and_one_that_is_empty(drain, task_of):
    post, empty = Post.objects.create(title="a text"), Post.objects.create(title="")

    drain()

    task = task_of(post)
    attempt = TaskAttempt.objects.get(task_id=task.pk)
    assert (attempt.outcome, attempt.is_final, attempt.number, attempt.version) == ("completed", True, 1, 1)
    assert (attempt.worker, attempt.model_id, attempt.tokens) == ("test", task.model_id, task.tokens)
    assert (attempt.claimed_at, attempt.error_class) == (task.claimed_at, "")
    assert task.claimed_at < attempt.ended_at <= timezone.now()
    assert TaskAttempt.objects.get(task_id=task_of(empty).pk).outcome == "completed"


def test_attempts__of_a_task_that_fails_until_it_is_failed_for_good(drain, settings, task_of):
    settings.EMBEDDINGS = {"MAX_ATTEMPTS": 2, "BACKOFF_BASE_SECONDS": 0, "BACKOFF_CAP_SECONDS": 0.001}
    post = Post.objects.create(title="[[transient]]")

    wait_until(lambda: drain() and task_of(post).status == Status.FAILED)

    assert [(outcome, is_final, number) for outcome, is_final, number, _ in attempts()] == [
        ("failed", False, 1),
        ("failed", True, 2),
    ]
    assert TaskAttempt.objects.latest("pk").error_message == task_of(post).error_message != ""
    assert target_minutes() == {"completed": 0, "attempts_failed": 2, "failed": 1}


def test_attempts__are_not_what_charges_nothing():
    tasks = [make_task() for _ in range(4)]
    claims = ledger.claim("default", 4, worker="w")
    failure = Failure("transient", "TransientError", "It broke.")

    ledger.defer(claims[:1], timezone.now() + timedelta(hours=1), failure)
    ledger.postpone(claims[1:2], failure)
    ledger.release(claims[2:3])
    EmbeddingTask.objects.filter(pk=claims[3].id).update(version=2)
    ledger.fail(claims[3:], failure, is_final=True)

    assert len(tasks) == 4
    assert attempts() == []
    assert not tally.take()


def test_attempts__of_a_lease_that_was_lost_are_none():
    make_task()
    claims = ledger.claim("default", 1, worker="w")
    ledger.cancel(EmbeddingTask.objects.all())

    ledger.fail(claims, Failure("input", "InputRejected", "No."), is_final=True)

    assert attempts() == []


def test_attempts__that_a_transaction_takes_back_are_not_counted():
    make_task()
    claims = ledger.claim("default", 1, worker="w")

    with transaction.atomic():
        ledger.fail(claims, Failure("input", "InputRejected", "No."), is_final=True)
        transaction.set_rollback(True)

    assert attempts() == []
    assert not tally.take()


def test_rescue__keeps_crashes_and_says_so(settings):
    settings.EMBEDDINGS = {"MAX_CRASHES": 2}
    make_task(), make_task(crashes=1)
    ledger.claim("default", 1, worker="host.1")
    ledger.claim("default", 1, worker="host.2", crashes=1)
    EmbeddingTask.objects.update(lease_until=Now() - timedelta(seconds=1))

    ledger.rescue()

    assert sorted(attempts()) == [("crashed", False, 1, "WorkerDied"), ("crashed", True, 1, "WorkerDied")]
    event = AuditEvent.objects.get()
    assert event.kind == "rescued"
    assert (
        event.message == "host.1, host.2 died with 2 tasks in hand: 1 failed for it, the rest wait to be claimed again."
    )
    assert event.details == {"workers": {"host.1": 1, "host.2": 1}, "failed": 1}
    metrics.hand_over()
    assert target_minutes() == {"completed": 0, "attempts_failed": 2, "failed": 1}


def test_rescue__of_what_was_no_crash_says_nothing():
    make_task()
    ledger.claim("default", 1, worker="host.1")

    assert ledger.rescue(worker="host.1", is_crash=False) == 1

    assert attempts() == []
    assert not AuditEvent.objects.exists()


def test_create_boxed__keeps_the_attempt_at_its_box(drain):
    boxed = Post.objects.create_boxed(title="boxed")

    drain()

    assert TaskAttempt.objects.get().task_id == boxed.task_id
    assert target_minutes()["completed"] == 1


# Since when a vector is asked for.


@pytest.mark.parametrize("status", Status.values)
def test_request__keeps_the_time_while_the_task_is_open(status, task_of):
    post = Post.objects.create(title="a")
    EmbeddingTask.objects.all().delete()
    task = make_task(status, object_id=str(post.pk))
    before = requested_again(task, timedelta(hours=1)).requested_at

    post.title = "b"
    post.save()

    is_open = status in {"pending", "scheduled", "rate_limited", "processing"}
    assert (task_of(post).requested_at == before) == is_open
    assert task_of(post).requested_at <= timezone.now()


@pytest.mark.parametrize(("status", "is_kept"), [("failed", False), ("cancelled", False), ("scheduled", True)])
def test_retry__asks_anew_for_what_had_ended(status, is_kept):
    task = make_task(status)
    before = requested_again(task, timedelta(hours=1)).requested_at

    ledger.retry(EmbeddingTask.objects.all())

    task.refresh_from_db()
    assert (task.requested_at == before) == is_kept


# The sums of each minute.


def test_drain__adds_up_what_it_did(drain):
    Post.objects.bulk_create([Post(title=f"text {number}") for number in range(20)])
    EmbeddingTask.objects.update(requested_at=Now() - timedelta(seconds=100))
    Post.objects.create(title="[[reject]]")

    drain()

    assert counts() == {"completed": 20, "failed": 1}
    assert target_minutes() == {"completed": 20, "attempts_failed": 1, "failed": 1}
    traffic = stats.task_traffic()
    assert 80 < traffic.percentiles.p50 < 164
    requests = stats.provider_traffic("default")
    assert (requests.completed > 0, requests.failed > 0, requests.inputs >= 21) == (True, True, True)
    assert requests.tokens == TaskAttempt.objects.aggregate(tokens=Sum("tokens"))["tokens"]
    assert stats.recent_speed() > 0


def test_hand_over__adds_to_what_is_there():
    for _ in range(3):
        tally.completed("default", [(make_task().content_type_id, "embedding", 0.3)])
        tally.called("default", inputs=2, tokens=5, cost=0.25, seconds=0.3, outcome="ok")
        metrics.hand_over()

    assert target_minutes()["completed"] == 3
    traffic = stats.provider_traffic("default")
    assert (traffic.completed, traffic.inputs, traffic.tokens, traffic.cost) == (3, 6, 15, 0.75)
    assert stats.task_traffic().percentiles.p99 == pytest.approx(0.3184)


def test_hand_over__adds_up_totals_that_outlive_the_minutes():
    ended = (make_task().content_type_id, "embedding")
    for seconds in (0.5, 3.0):
        tally.completed("default", [(*ended, seconds)])
        tally.failed("default", [(*ended, True)])
        tally.called("default", inputs=2, tokens=30, cost=0.25, seconds=seconds, outcome="ok")
        tally.called("default", inputs=1, tokens=0, cost=0.0, seconds=9.0, outcome="rate_limit")
        metrics.hand_over(is_last=True)
    TargetMinute.objects.all().delete()
    ProviderMinute.objects.all().delete()

    of_target, of_provider = TargetTotal.objects.get(), ProviderTotal.objects.get()

    durations = histogram.merge([0, 0, 0, 0, 0, 0, 1], [0] * 9 + [1] + [0] * 12)
    assert (of_target.target, of_target.completed, of_target.attempts_failed, of_target.failed) == (TARGET, 2, 2, 2)
    assert (of_target.waiting, of_target.seconds) == (durations, 3.5)
    assert (of_provider.requests, of_provider.failed, of_provider.rate_limited) == (4, 2, 2)
    assert (of_provider.inputs, of_provider.tokens, float(of_provider.cost)) == (6, 60, 0.5)
    assert (of_provider.latency, of_provider.seconds) == (durations, 3.5)


def test_hand_over__adds_the_same_target_of_several_databases():
    for using in ("default", "other"):
        content_type = ContentType.objects.db_manager(using).get_for_model(Post)
        tally.completed(using, [(content_type.pk, "embedding", 1.0)])

    metrics.hand_over()

    assert target_minutes()["completed"] == 2


def test_hand_over__waits_for_nobody_and_keeps_what_it_could_not_write():
    tally.called("default", inputs=1, tokens=1, cost=0.0, seconds=0.1, outcome="ok")
    with sessions.session() as other:
        other.execute("BEGIN")
        other.execute("SELECT pg_advisory_xact_lock(hashtext('embeddings_providerminute'))")
        metrics.hand_over(is_last=True)
        written = ProviderMinute.objects.count()
        other.execute("ROLLBACK")

    metrics.hand_over()

    assert (written, stats.provider_traffic("default").completed) == (0, 1)


def test_hand_over__does_not_raise_for_the_database(caplog):
    tally.called("default", inputs=1, tokens=1, cost=0.0, seconds=0.1, outcome="ok")
    with sessions.session() as other:
        other.execute("ALTER TABLE embeddings_providerminute ADD CONSTRAINT broken CHECK (false) NOT VALID")
        metrics.hand_over()
        other.execute("ALTER TABLE embeddings_providerminute DROP CONSTRAINT broken")

    metrics.hand_over()

    assert "could not be written" in caplog.text
    assert stats.provider_traffic("default").completed == 1


def test_hand_over__in_a_transaction_comes_after_it():
    with transaction.atomic():
        direct.embed_now("a text")
        metrics.hand_over()
        inside = ProviderMinute.objects.count()

    assert (inside, stats.provider_traffic("default").completed) == (0, 1)


def test_tally__of_a_parent_is_not_its_childs():
    tally.called("default", inputs=1, tokens=1, cost=0.0, seconds=0.1, outcome="ok")
    child = os.fork()
    if not child:
        os._exit(1 if tally.take() else 0)

    _, status = os.waitpid(child, 0)

    assert status == 0
    assert tally.take()


def test_create_now__is_counted_at_once():
    Post.objects.create_now(title="now")

    assert target_minutes()["completed"] == 1
    assert stats.provider_traffic("default").completed == 1


def test_search__is_counted(monkeypatch):
    monkeypatch.setattr(metrics, "_handed_over_at", float("-inf"))

    vectors.vector_of("one query", "default")
    vectors.vector_of("one query", "default")  # from memory
    vectors.vector_of("another", "default")

    written = stats.provider_traffic("default").completed
    metrics.hand_over()
    assert (written, stats.provider_traffic("default").completed) == (1, 2)


def test_workers__add_their_minutes_up(workers):
    """Two, in drains of several beats, side by side."""
    Post.objects.bulk_create([Post(title=f"text {number}") for number in range(600)])
    pace = {"BATCH_SIZE": 20, "CONCURRENCY": 2}  # Five seconds for two, seven for one.
    started = [workers.start(embeddings=pace, providers=dummy(LATENCY_SECONDS=0.5)) for _ in range(2)]
    wait_until(lambda: target_minutes()["completed"])
    seen_early = EmbeddingTask.objects.filter(status="pending").exists()

    wait_until(lambda: counts() == {"completed": 600})

    wait_until(lambda: target_minutes() == {"completed": 600, "attempts_failed": 0, "failed": 0})
    assert seen_early
    assert stats.provider_traffic("default").inputs == 600
    assert TaskAttempt.objects.filter(outcome="completed").count() == 600
    assert all(process.poll() is None for process in started)


def test_workers__count_crashes(workers):
    Post.objects.create(title="slow")
    worker = workers.started(providers=dummy(LATENCY_SECONDS=20.0))
    child = wait_until(lambda: counts() == {"processing": 1} and child_of(worker))

    os.kill(child, signal.SIGKILL)

    wait_until(lambda: target_minutes()["attempts_failed"])
    assert attempts()[0][0] == "crashed"
    assert "died with 1 task in hand: they wait again." in AuditEvent.objects.earliest("pk").message
