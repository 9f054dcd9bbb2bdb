from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from embeddings import cleanup, heartbeats, ledger
from embeddings.models import EmbeddingBatch, EmbeddingOperation, EmbeddingTask, ProviderCall, WorkerStatus
from tests.integration.conftest import wait_until
from tests.testapp.models import Post

pytestmark = pytest.mark.django_db(transaction=True)


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


def test_clean_up__is_done_by_workers_and_leaves_leases_alone(workers):
    call(31)
    Post.objects.create(title="a")
    [claim] = ledger.claim("default", 1, worker="somebody")

    workers.start()

    wait_until(lambda: not ProviderCall.objects.exists())
    assert ledger.held([claim], using="default") == {claim.id}
