"""Make deliveries of events: those of a few seconds together, so that many tasks are told in one message."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from django.db import connections, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from embeddings import conf, events, stats
from embeddings.models import (
    OPEN,
    EmbeddingBatch,
    EmbeddingOperation,
    EmbeddingTask,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEvent,
)
from embeddings.webhooks.messages import Happening, messages_for

Kind = events.Kind

# One collector at a time a database; whoever is not the first leaves it to that one.
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('embeddings webhooks'))"


def collect(using: str) -> int:
    """Make deliveries of the events of a database that are due; returns how many events are gone.

    They are grouped in one transaction, and told in the next: deliveries may be in another database, and whoever dies
    between the two commits leaves a group of which the next collector makes the same messages, with the same ids.
    """
    if events.are_due(using):
        with transaction.atomic(using=using):
            if _is_first(using):
                _group(using)
    told = 0
    for group in set(_events(using).exclude(group=None).order_by().values_list("group", flat=True)):
        with transaction.atomic(using=using):
            if group and _is_first(using):
                told += _tell(group, using)
    return told


def _is_first(using: str) -> bool:
    with connections[using].cursor() as cursor:
        cursor.execute(_LOCK)
        return bool(cursor.fetchone()[0])


def _group(using: str) -> None:
    """Put the oldest into a group, unless one waits already."""
    if not _events(using).exclude(group=None).exists():
        oldest = list(_events(using).order_by("pk").values_list("pk", flat=True)[: events.MANY])
        _events(using).filter(pk__in=oldest).update(group=uuid.uuid4())


def _tell(group: uuid.UUID, using: str) -> int:
    """Make the deliveries of a group, and delete its events; of a batch that is locked they are asked again later."""
    rows = list(_events(using).filter(group=group).order_by("pk"))
    touched = {key for row in rows if row.kind == Kind.BATCH_FINISHED for key in row.data["batches"]}
    others = [row for row in rows if row.kind != Kind.BATCH_FINISHED]
    free, locked = _batches(touched, using)
    happenings = [Happening(Kind(row.kind), row.data, row.created_at) for row in others]
    _write([*happenings, *_finished(free, using)], group)
    _events(using).filter(pk__in=[row.pk for row in rows]).delete()
    events.touch_batches(locked, using=using)
    return len(rows) - bool(locked)


def _write(happenings: Sequence[Happening], group: uuid.UUID) -> None:
    """Deliveries for each endpoint that wants to hear of it."""
    first = conf.current().databases[0]
    deliveries = [
        WebhookDelivery(
            endpoint=endpoint,
            kind=message.kind,
            message_id=message.message_id,
            payload=message.payload,
            events=message.events,
        )
        for endpoint in WebhookEndpoint.objects.using(first).filter(is_enabled=True).order_by("pk")
        for message in messages_for(endpoint, happenings, group)
    ]
    WebhookDelivery.objects.using(first).bulk_create(deliveries, batch_size=100, ignore_conflicts=True)


def _batches(batch_ids: set[int], using: str) -> tuple[list[EmbeddingBatch], list[int]]:
    """Those of these batches that are there, locked; and the ids of those to which somebody is just adding."""
    batches = EmbeddingBatch.objects.using(using).filter(pk__in=batch_ids).order_by("pk")
    free = list(batches.select_for_update(skip_locked=True, no_key=True))
    locked = batches.exclude(pk__in=[batch.pk for batch in free]).values_list("pk", flat=True)
    return free, list(locked)


def _finished(batches: Iterable[EmbeddingBatch], using: str) -> Iterator[Happening]:
    """Those of these batches that are finished, and have not been told since they were last worked on."""
    for batch in batches:
        if not _is_open(batch, using) and _is_news(batch, using):
            EmbeddingBatch.objects.using(using).filter(pk=batch.pk).update(told_finished_at=Now())
            yield _ended(batch, using)


def _is_open(batch: EmbeddingBatch, using: str) -> bool:
    tasks = EmbeddingTask.objects.using(using).filter(batch=batch, status__in=OPEN)
    return tasks.exists() or EmbeddingOperation.objects.using(using).filter(batch=batch, finished_at=None).exists()


def _is_news(batch: EmbeddingBatch, using: str) -> bool:
    if batch.told_finished_at is None:
        return True
    return EmbeddingTask.objects.using(using).filter(batch=batch, updated_at__gt=batch.told_finished_at).exists()


def _ended(batch: EmbeddingBatch, using: str) -> Happening:
    progress = stats.batch_progress([batch.pk], using=using)[batch.pk]
    at: datetime = progress.finished_at or timezone.now()
    data = {
        "id": batch.pk,
        "name": batch.name,
        "total": progress.total,
        "done": progress.done,
        "failed": progress.failed,
        "cancelled": progress.cancelled,
        "createdAt": batch.created_at.isoformat(),
        "finishedAt": at.isoformat(),
    }
    return Happening(Kind.BATCH_FINISHED, data, at)


def _events(using: str) -> QuerySet[WebhookEvent]:
    return WebhookEvent.objects.using(using)
