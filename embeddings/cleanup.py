"""Delete records of past work by age. The ledger's rows stay: they say what each vector was made from."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import models
from django.db.models import ExpressionWrapper, Q, QuerySet
from django.db.models.functions import Now

from embeddings import conf, direct, idempotency, model_ids
from embeddings.models import (
    Alert,
    AuditEvent,
    EmbeddingBatch,
    EmbeddingOperation,
    ProviderCall,
    ProviderMinute,
    TargetMinute,
    TaskAttempt,
    WorkerStatus,
)

# Rows that one statement deletes, so that it stays short.
BATCH = 1_000
# Rows of one history that one clean-up deletes, so that its worker soon does something else.
MOST = 20_000


def clean_up(days: int | None = None) -> int:
    """Delete requests, direct texts, alerts that are over, ended workers and operations, emptied batches and models
    without vectors.

    They go when they are older than `days` (default: the setting; 0 keeps all). Histories, and
    answers to calls of the API, go by ages of their own, and first. Returns how many; where these are MOST or more, the
    rest is left for the next time.
    """
    deleted = _forget_history() + _delete(idempotency.expired())
    if deleted >= MOST:
        return deleted
    return deleted + _forget_work(days)


def _forget_work(days: int | None) -> int:
    days = conf.current().cleanup_retention_days if days is None else days
    if not days:
        return 0
    before = Now() - timedelta(days=days)
    first, *_ = databases = conf.current().databases
    deleted = _delete(ProviderCall.objects.using(first).filter(created_at__lt=before))
    deleted += _delete(WorkerStatus.objects.using(first).filter(heartbeat_at__lt=before))
    deleted += _delete(Alert.objects.using(first).filter(over_at__lt=before))
    deleted += direct.delete_before(days)
    for using in databases:
        deleted += _delete(EmbeddingOperation.objects.using(using).filter(finished_at__lt=before))
        emptied = EmbeddingBatch.objects.using(using).filter(created_at__lt=before, tasks=None)
        awaited = EmbeddingOperation.objects.using(using).filter(finished_at=None, batch__isnull=False)
        deleted += _delete(emptied.exclude(pk__in=awaited.values("batch")))
    for using in databases:  # Last: it reads whole ledgers, and a time limit may end it.
        deleted += model_ids.forget_unused(using=using)
    return deleted


def _forget_history() -> int:
    """Delete attempts, the figures of each minute, and entries of the audit log."""
    settings = conf.current()
    first = settings.databases[0]
    deleted = sum(
        _delete_oldest(TaskAttempt, "ended_at", settings.attempt_retention_days, using) for using in settings.databases
    )
    for model in (TargetMinute, ProviderMinute):
        deleted += _delete_oldest(model, "minute", settings.metric_retention_days, first)
    return deleted + _delete_oldest(AuditEvent, "created_at", settings.audit_retention_days, first)


def _delete_oldest(model: type[models.Model], column: str, days: int, using: str) -> int:
    """Delete rows whose keys rise with their times, from the lowest key on, up to a range that holds a younger one."""
    is_old = ExpressionWrapper(Q(**{f"{column}__lt": Now() - timedelta(days=days)}), models.BooleanField())
    rows = model._base_manager.using(using)
    deleted, last = 0, 0
    while days and deleted < MOST:
        # After the last key, although those before are gone: their places in the index may not be, yet.
        page = list(rows.filter(pk__gt=last).order_by("pk").values_list("pk", is_old)[:BATCH])
        old = [key for key, is_old_one in page if is_old_one]
        deleted += rows.filter(pk__in=old)._raw_delete(using) or 0
        if len(old) < BATCH:
            break
        last = old[-1]
    return deleted


def _delete(rows: QuerySet[Any]) -> int:
    deleted = 0
    while keys := list(rows.values_list("pk", flat=True)[:BATCH]):
        count, _ = rows.model._base_manager.using(rows.db).filter(pk__in=keys).delete()
        deleted += count
    return deleted
