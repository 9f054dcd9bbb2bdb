"""Delete records of past work by age. The ledger's rows stay: they say what each vector was made from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.db import models
from django.db.models import ExpressionWrapper, Q, QuerySet
from django.db.models.functions import Now

from embeddings import conf, direct, idempotency, model_ids
from embeddings.models import (
    Alert,
    AuditEvent,
    DirectText,
    EmbeddingBatch,
    EmbeddingOperation,
    ProviderCall,
    ProviderMinute,
    TargetMinute,
    TaskAttempt,
    TextVector,
    WebhookDelivery,
    WebhookEvent,
    WorkerStatus,
)

# Rows that one statement deletes, so that it stays short.
BATCH = 1_000
# Rows of one history that one clean-up deletes, so that its worker soon does something else.
MOST = 20_000


def clean_up(days: int | None = None) -> int:
    """Delete requests, direct texts, vectors of texts that no object has, alerts that are over, ended workers and
    operations, emptied batches and models without vectors.

    They go when they are older than `days` (default: the setting; 0 keeps all). Histories, and
    answers to calls of the API, go by ages of their own, and first. Returns how many; where these are MOST or more, the
    rest is left for the next time.
    """
    deleted = _forget_history() + _delete(idempotency.expired())
    if deleted >= MOST:
        return deleted
    return deleted + _forget_work(days)


def clean_up_all(days: int | None = None) -> int:
    """The same to the end, for whoever waits for it."""
    deleted = found = clean_up(days)
    while found >= MOST:
        found = clean_up(days)
        deleted += found
    return deleted


def count_old(days: int | None = None) -> dict[str, int]:
    """{what: how many} that `clean_up` would delete, each counted up to MOST; but for models without vectors."""
    counts: Counter[str] = Counter()
    for model, column, kept_days, using in _histories():
        counts[_plural(model)] += _count_oldest(model, column, kept_days, using)
    days = conf.current().cleanup_retention_days if days is None else days
    for rows in _works(days) if days else ():
        counts[_plural(rows.model)] += rows.order_by()[:MOST].count()
    if days:
        counts[_plural(DirectText)] += direct.older(days).order_by()[:MOST].count()
    return dict(counts)


def _plural(model: type[models.Model]) -> str:
    return str(model._meta.verbose_name_plural)


def _forget_work(days: int | None) -> int:
    days = conf.current().cleanup_retention_days if days is None else days
    if not days:
        return 0
    deleted = sum(_delete(rows) for rows in _works(days)) + direct.delete_before(days)
    for using in conf.current().databases:  # Last: it reads whole ledgers, and a time limit may end it.
        deleted += model_ids.forget_unused(using=using)
    return deleted


def _works(days: int) -> Iterator[QuerySet[Any]]:
    """Records that are older; each is asked for when those before it are gone."""
    before = Now() - timedelta(days=days)
    first, *_ = databases = conf.current().databases
    yield ProviderCall.objects.using(first).filter(created_at__lt=before)
    yield WorkerStatus.objects.using(first).filter(heartbeat_at__lt=before)
    yield Alert.objects.using(first).filter(over_at__lt=before)
    yield TextVector.objects.using(first).filter(created_at__lt=before)
    for using in databases:
        yield EmbeddingOperation.objects.using(using).filter(finished_at__lt=before)
        emptied = EmbeddingBatch.objects.using(using).filter(created_at__lt=before, tasks=None)
        awaited = EmbeddingOperation.objects.using(using).filter(finished_at=None, batch__isnull=False)
        yield emptied.exclude(pk__in=awaited.values("batch"))


def _forget_history() -> int:
    return sum(_delete_oldest(*history) for history in _histories())


def _histories() -> Iterator[tuple[type[models.Model], str, int, str]]:
    """(model, column of its time, days, database): attempts, webhooks, figures of each minute, the audit log."""
    settings = conf.current()
    first = settings.databases[0]
    for using in settings.databases:
        yield TaskAttempt, "ended_at", settings.attempt_retention_days, using
        # Nobody makes messages of them where no worker runs, or what sends is not installed.
        yield WebhookEvent, "created_at", settings.webhook_retention_days, using
    for model in (TargetMinute, ProviderMinute):
        yield model, "minute", settings.metric_retention_days, first
    yield WebhookDelivery, "created_at", settings.webhook_retention_days, first
    yield AuditEvent, "created_at", settings.audit_retention_days, first


def _delete_oldest(model: type[models.Model], column: str, days: int, using: str) -> int:
    """Delete rows whose keys rise with their times, from the lowest key on, up to a range that holds a younger one."""
    rows = model._base_manager.using(using)
    return sum(rows.filter(pk__in=old)._raw_delete(using) or 0 for old in _oldest(model, column, days, using))


def _count_oldest(model: type[models.Model], column: str, days: int, using: str) -> int:
    return sum(len(old) for old in _oldest(model, column, days, using))


def _oldest(model: type[models.Model], column: str, days: int, using: str) -> Iterator[list[Any]]:
    """The keys of the old ones, MOST or a little more of them in pages of BATCH."""
    is_old = ExpressionWrapper(Q(**{f"{column}__lt": Now() - timedelta(days=days)}), models.BooleanField())
    rows = model._base_manager.using(using)
    found, last = 0, 0
    while days and found < MOST:
        # After the last key, although those before are gone: their places in the index may not be, yet.
        page = list(rows.filter(pk__gt=last).order_by("pk").values_list("pk", is_old)[:BATCH])
        old = [key for key, is_old_one in page if is_old_one]
        yield old
        if len(old) < BATCH:
            break
        found += len(old)
        last = old[-1]


def _delete(rows: QuerySet[Any]) -> int:
    deleted = 0
    while keys := list(rows.values_list("pk", flat=True)[:BATCH]):
        count, _ = rows.model._base_manager.using(rows.db).filter(pk__in=keys).delete()
        deleted += count
    return deleted
