from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from embeddings import cleanup, heartbeats, ledger
from embeddings.models import (
    Alert,
    AuditEvent,
    EmbeddingBatch,
    EmbeddingOperation,
    EmbeddingTask,
    ProviderCall,
    ProviderMinute,
    TargetMinute,
    TaskAttempt,
    WebhookEvent,
    WorkerStatus,
)
from tests.integration.conftest import wait_until
from tests.testapp.models import Post

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other"])


def call(days_old: float) -> ProviderCall:
    made = ProviderCall.objects.create(provider="default", model_id="m", inputs=1, latency_ms=1, outcome="ok")
    ProviderCall.objects.filter(pk=made.pk).update(created_at=timezone.now() - timedelta(days=days_old))
    return made


def batch(days_old: float) -> EmbeddingBatch:
    made = EmbeddingBatch.objects.create(name="b")
    EmbeddingBatch.objects.filter(pk=made.pk).update(created_at=timezone.now() - timedelta(days=days_old))
    return made


def worker(name: str, days_silent: float) -> None:
    heartbeats.born(name)
    WorkerStatus.objects.filter(name=name).update(heartbeat_at=timezone.now() - timedelta(days=days_silent))


def test_clean_up__deletes_what_is_older_than_the_setting(settings):
    settings.EMBEDDINGS = {"CLEANUP_RETENTION_DAYS": 10}
    call(11), batch(11), worker("old", 11)
    young = call(9)
    young_batch = batch(9)
    worker("young", 9)

    deleted = cleanup.clean_up()

    assert deleted == 3
    assert ProviderCall.objects.get() == young
    assert EmbeddingBatch.objects.get() == young_batch
    assert WorkerStatus.objects.get().name == "young"


@pytest.mark.parametrize("using", ["default", "other"])
def test_clean_up__deletes_events_that_nobody_has_told(settings, using):
    settings.EMBEDDINGS = {"WEBHOOK_RETENTION_DAYS": 10, "DATABASES": ["default", "other"]}
    events = WebhookEvent.objects.using(using)
    for days in (11, 9):
        events.create(kind="task.failed", data={"tasks": []}, created_at=timezone.now() - timedelta(days=days))
    young = events.latest("pk")

    deleted = cleanup.clean_up()

    assert deleted == 1
    assert events.get() == young


def test_clean_up__deletes_alerts_that_are_long_over():
    long_ago = timezone.now() - timedelta(days=31)
    for kind, over_at in [("failed", long_ago), ("waiting", timezone.now()), ("no_worker", None)]:
        Alert.objects.create(kind=kind, message=kind, over_at=over_at)
    Alert.objects.update(raised_at=long_ago)

    deleted = cleanup.clean_up()

    assert deleted == 1
    assert set(Alert.objects.values_list("kind", flat=True)) == {"waiting", "no_worker"}


def test_clean_up__keeps_tasks_and_the_batches_that_have_some():
    used = batch(400)
    Post.objects.create(title="a")
    EmbeddingTask.objects.update(batch=used, created_at=timezone.now() - timedelta(days=400))

    assert cleanup.clean_up() == 0

    assert EmbeddingTask.objects.get().batch == used


def test_clean_up__deletes_operations_that_ended_and_keeps_what_others_wait_for():
    ended, fresh, waiting = (
        EmbeddingOperation.objects.create(kind="regenerate", target=name, batch=batch(400))
        for name in ("a.ended", "a.fresh", "a.waiting")
    )
    long_ago, now = timezone.now() - timedelta(days=400), timezone.now()
    EmbeddingOperation.objects.filter(pk=ended.pk).update(state="done", finished_at=long_ago)
    EmbeddingOperation.objects.filter(pk=fresh.pk).update(state="done", finished_at=now)

    # One operation; the batches of the two that ended.
    assert cleanup.clean_up() == 3

    assert set(EmbeddingOperation.objects.values_list("target", "batch")) == {
        ("a.fresh", None),
        ("a.waiting", waiting.batch_id),
    }


def test_clean_up__zero_days_keep_everything(settings):
    settings.EMBEDDINGS = {"CLEANUP_RETENTION_DAYS": 0}
    call(4000)

    assert cleanup.clean_up() == 0

    assert cleanup.clean_up(days=30) == 1


def test_clean_up__goes_on_past_one_statement(monkeypatch):
    monkeypatch.setattr(cleanup, "BATCH", 2)
    for _ in range(5):
        call(31)

    assert cleanup.clean_up() == 5


def attempt_of(days_old: float) -> TaskAttempt:
    ended_at = timezone.now() - timedelta(days=days_old)
    return TaskAttempt(task_id=1, outcome="completed", number=1, version=1, ended_at=ended_at)


def attempt(days_old: float, *, using: str = "default") -> None:
    attempt_of(days_old).save(using=using)


def test_clean_up__deletes_histories_by_their_own_ages(settings):
    settings.EMBEDDINGS = {
        "DATABASES": ["default", "other"],
        "CLEANUP_RETENTION_DAYS": 0,
        "ATTEMPT_RETENTION_DAYS": 2,
        "METRIC_RETENTION_DAYS": 4,
        "AUDIT_RETENTION_DAYS": 6,
    }
    for days in (7, 5, 3, 1):
        then = timezone.now() - timedelta(days=days)
        attempt(days), attempt(days, using="other")
        TargetMinute.objects.create(target="a.b.c", minute=then)
        ProviderMinute.objects.create(provider="default", minute=then)
        event = AuditEvent.objects.create(kind="paused", message=str(days))
        AuditEvent.objects.filter(pk=event.pk).update(created_at=then)

    deleted = cleanup.clean_up()

    assert deleted == 3 + 3 + 2 + 2 + 1
    assert [TaskAttempt.objects.using(using).count() for using in ("default", "other")] == [1, 1]
    assert [TargetMinute.objects.count(), ProviderMinute.objects.count()] == [2, 2]
    assert list(AuditEvent.objects.order_by("pk").values_list("message", flat=True)) == ["5", "3", "1"]


def test_clean_up__of_a_history_zero_days_keep_everything(settings):
    settings.EMBEDDINGS = {"ATTEMPT_RETENTION_DAYS": 0}
    attempt(4000)

    assert cleanup.clean_up() == 0


def test_clean_up__deletes_a_history_in_small_statements(monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(cleanup, "BATCH", 10)
    TaskAttempt.objects.bulk_create([attempt_of(8) for _ in range(45)] + [attempt_of(1) for _ in range(45)])

    # Five that read and five that delete.
    with django_assert_num_queries(10) as captured:
        deleted = cleanup._delete_oldest(TaskAttempt, "ended_at", 7, "default")

    assert deleted == 45
    assert max(query["sql"].count(",") for query in captured.captured_queries) < 10


def test_clean_up__leaves_what_is_too_much_for_once(monkeypatch):
    monkeypatch.setattr(cleanup, "BATCH", 10)
    monkeypatch.setattr(cleanup, "MOST", 20)
    TaskAttempt.objects.bulk_create([attempt_of(8) for _ in range(45)])
    call(400)

    first = cleanup.clean_up()
    with_calls = ProviderCall.objects.count()

    assert (first, with_calls) == (20, 1)
    assert [cleanup.clean_up(), cleanup.clean_up()] == [20, 6]


def test_clean_up__is_done_by_workers_and_leaves_leases_alone(workers):
    call(31)
    Post.objects.create(title="a")
    [claim] = ledger.claim("default", 1, worker="somebody")

    workers.start()

    wait_until(lambda: not ProviderCall.objects.exists())
    assert ledger.held([claim], using="default") == {claim.id}
