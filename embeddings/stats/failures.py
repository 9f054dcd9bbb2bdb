"""Failed tasks, grouped by what went wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import OperationalError, connections

from embeddings import conf, sql, timeouts
from embeddings.models import EmbeddingTask

# Groups that are shown of a database, and looked at: those beyond (a cause that we do not recognise) are not found.
MOST_GROUPS = 100
MOST_LOOKED_AT = 1_000
# Tasks of one group that are counted, the latest first; and shown.
MOST_COUNTED = 50_000
EXAMPLES = 3
# Counting takes PostgreSQL 0.1 s for 300,000 tasks, but 2 s where it has not vacuumed since they failed. After this
# time the question is put again, for fewer.
PATIENCE_SECONDS = 0.25
COUNTED_IN_HASTE = 1_000

# Signature, tasks, first seen, last seen, ids of some.
Row = tuple[str, int, datetime, datetime, list[int]]


@dataclass(frozen=True, slots=True)
class Failures:
    """The failed tasks of one signature in one database."""

    signature: str
    using: str
    count: int
    # Whether counting was stopped before the end; the times are of those counted.
    is_at_least: bool
    first_seen: datetime
    last_seen: datetime
    error_kind: str
    error_class: str
    error_status: int | None
    # Of one of them.
    error_message: str
    # Some of them, the latest first.
    examples: list[EmbeddingTask]


def failures() -> list[Failures]:
    """The groups, the largest first; at most MOST_GROUPS of each database."""
    found = [group for using in conf.current().databases for group in _failures(using)]
    return sorted(found, key=lambda group: (group.count, group.last_seen), reverse=True)


def _failures(using: str) -> Iterator[Failures]:
    rows, most_counted = _groups(using)
    # Without what waits in boxes.
    tasks = EmbeddingTask.objects.using(using).defer("payload").in_bulk([id for *_, ids in rows for id in ids])
    for signature, count, first_seen, last_seen, ids in rows:
        examples = [tasks[id] for id in ids if id in tasks]
        if not examples:  # they have moved on since
            continue
        yield Failures(
            signature=signature,
            using=using,
            count=count,
            is_at_least=count >= most_counted,
            first_seen=first_seen,
            last_seen=last_seen,
            error_kind=examples[0].error_kind,
            error_class=examples[0].error_class,
            error_status=examples[0].error_status,
            error_message=examples[0].error_message,
            examples=examples,
        )


def _groups(using: str) -> tuple[list[Row], int]:
    """The groups, and how many tasks of each were counted at most."""
    try:
        with timeouts.reading(PATIENCE_SECONDS, using) as cursor:
            return _ask(cursor, MOST_LOOKED_AT, MOST_COUNTED), MOST_COUNTED
    except OperationalError as exc:
        if not timeouts.is_timeout(exc):
            raise
    with connections[using].cursor() as cursor:
        return _ask(cursor, MOST_GROUPS, COUNTED_IN_HASTE), COUNTED_IN_HASTE


def _ask(cursor: Any, most_looked_at: int, most_counted: int) -> list[Row]:
    limits = {"groups": MOST_GROUPS, "most_looked_at": most_looked_at, "most_counted": most_counted}
    cursor.execute(sql.load("failures"), {**limits, "examples": EXAMPLES})
    return list(cursor.fetchall())
