"""Delete records of past work by age. The ledger's rows stay: they say what each vector was made from."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Now

from embeddings import conf, direct, model_ids
from embeddings.models import EmbeddingBatch, EmbeddingOperation, ProviderCall, WorkerStatus

# Rows that one statement deletes, so that it stays short.
BATCH = 1_000


def clean_up(days: int | None = None) -> int:
    """Delete requests, direct texts, ended workers and operations, emptied batches and models without vectors.

    They go when they are older than `days` (default: the setting; 0 keeps all). Returns how many.
    """
    days = conf.current().cleanup_retention_days if days is None else days
    if not days:
        return 0
    before = Now() - timedelta(days=days)
    first, *_ = databases = conf.current().databases
    deleted = _delete(ProviderCall.objects.using(first).filter(created_at__lt=before))
    deleted += _delete(WorkerStatus.objects.using(first).filter(heartbeat_at__lt=before))
    deleted += direct.delete_before(days)
    for using in databases:
        deleted += _delete(EmbeddingOperation.objects.using(using).filter(finished_at__lt=before))
        emptied = EmbeddingBatch.objects.using(using).filter(created_at__lt=before, tasks=None)
        awaited = EmbeddingOperation.objects.using(using).filter(finished_at=None, batch__isnull=False)
        deleted += _delete(emptied.exclude(pk__in=awaited.values("batch")))
    for using in databases:  # Last: it reads whole ledgers, and a time limit may end it.
        deleted += model_ids.forget_unused(using=using)
    return deleted


def _delete(rows: QuerySet[Any]) -> int:
    deleted = 0
    while keys := list(rows.values_list("pk", flat=True)[:BATCH]):
        count, _ = rows.model._base_manager.using(rows.db).filter(pk__in=keys).delete()
        deleted += count
    return deleted
