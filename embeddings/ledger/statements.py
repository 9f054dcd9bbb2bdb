"""How the ledger talks to the database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.contrib.postgres.fields import ArrayField
from django.db import connections, transaction
from django.db.models import BigIntegerField, F, QuerySet, Value
from django.db.models.functions import Now

from embeddings import sql
from embeddings.ledger.records import Claim
from embeddings.lookups import AnyOf
from embeddings.models import EmbeddingTask


def execute(statement: str, params: dict[str, Any], using: str) -> list[tuple[Any, ...]]:
    return execute_text(sql.load(statement), params, using)


def execute_text(text: str, params: dict[str, Any], using: str) -> list[tuple[Any, ...]]:
    with connections[using].cursor() as cursor:
        cursor.execute(text, params)
        return list(cursor.fetchall()) if cursor.description else []


def tasks_of(using: str) -> QuerySet[EmbeddingTask]:
    return EmbeddingTask.objects.using(using)


def held_tasks(claims: Iterable[Claim], using: str) -> QuerySet[EmbeddingTask]:
    """The claimed tasks whose lease is not lost."""
    claims = list(claims)
    return tasks_with([c.id for c in claims], using).filter(lease_token__in={c.token for c in claims})


def tasks_with(ids: list[int], using: str) -> QuerySet[EmbeddingTask]:
    """The tasks with these keys, which are sent as one parameter: a statement with many is slow to make and to read."""
    return tasks_of(using).filter(AnyOf(F("pk"), Value(ids, output_field=ArrayField(BigIntegerField()))))


def delete(tasks: QuerySet[EmbeddingTask]) -> int:
    return tasks._raw_delete(tasks.db) or 0  # Django returns None where it need not ask the database


def move(tasks: QuerySet[EmbeddingTask], using: str, **values: Any) -> int:
    """Update the tasks that nobody else holds just now; returns how many."""
    free = tasks.select_for_update(skip_locked=True, of=("self",)).values("pk")
    with transaction.atomic(using=using):
        return tasks_of(using).filter(AnyOf(F("pk"), ArraySubquery(free))).update(updated_at=Now(), **values)
