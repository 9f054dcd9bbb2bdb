"""What of the ledger's transitions is told to webhooks; without one that wants it, each costs what it always did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from django.db import transaction
from django.db.models import QuerySet

from embeddings import events, sql
from embeddings.models import OPEN, EmbeddingTask

Kind = events.Kind


def statement(name: str, ended: str, kind: events.Kind) -> str:
    """A settling statement of `sql`, with what writes the events that are wanted of the rows of its part `ended`."""
    return _statement(name, ended, kind, events.is_wanted(kind), are_batches_told())


def are_batches_told() -> bool:
    """Whether a webhook wants to know of finished batches."""
    return events.is_wanted(Kind.BATCH_FINISHED)


@cache
def _statement(name: str, ended: str, kind: events.Kind, tells_tasks: bool, tells_batches: bool) -> str:
    parts = []
    if tells_tasks:
        parts.append(sql.load("tell_completed" if kind == Kind.TASK_COMPLETED else "tell_failed"))
    if tells_batches:
        parts.append(sql.load("tell_batches"))
    return sql.load(name).replace("{told}", "".join(parts)).replace("{ended}", ended)


@contextmanager
def ending(tasks: QuerySet[EmbeddingTask], using: str) -> Iterator[None]:
    """Note, with what the block does to these tasks, that the batches of those still open may be finished by it."""
    if not are_batches_told():
        yield
        return
    with transaction.atomic(using=using):
        unfinished = tasks.filter(status__in=OPEN, batch__isnull=False).order_by()
        found = unfinished.values_list("batch_id", flat=True).distinct()
        batch_ids = list(found)
        yield
        events.touch_batches([key for key in batch_ids if key is not None], using=using)
