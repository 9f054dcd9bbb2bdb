"""Tasks come and go with the objects: opened by saves, deleted with their rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from functools import cache

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import QuerySet

from embeddings import conf, context, sql
from embeddings.ledger import telling
from embeddings.ledger.records import Request
from embeddings.ledger.statements import delete, execute, execute_text, tasks_of
from embeddings.models import EmbeddingBatch, EmbeddingTask


def request(
    requests: Iterable[Request],
    *,
    batch_id: int | None = None,
    is_overwritten: bool = False,
    using: str = DEFAULT_DB_ALIAS,
) -> list[int]:
    """Open the tasks of changed objects, in the caller's transaction; returns the ids of those that have work to do.

    They join the batch (default: that of `embeddings.batch`), whose total counts each that was not in it yet.
    `is_overwritten` says that somebody else has written the columns: what is known of their vectors is void.
    """
    unique = list({(r.content_type_id, r.object_id, r.field): r for r in requests}.values())
    if not unique:
        return []
    batch_id = context.batch_id(using) if batch_id is None else batch_id
    head_starts = conf.configured().head_start_seconds  # The statement reads those that operators have changed.
    if is_overwritten and batch_id is None and len(unique) == 1 and (ids := _open_new(unique[0], head_starts, using)):
        return ids
    rows = execute_text(
        _statement(is_counted=batch_id is not None, is_told=batch_id is not None and telling.are_batches_told()),
        {
            "content_type_ids": [r.content_type_id for r in unique],
            "object_ids": [r.object_id for r in unique],
            "fields": [r.field for r in unique],
            "providers": [r.provider for r in unique],
            "priorities": [r.priority for r in unique],
            "head_starts": [head_starts[r.priority] for r in unique],
            "delays": [r.delay_seconds for r in unique],
            "fingerprints": [r.fingerprint for r in unique],
            "batch_id": batch_id,
            "is_overwritten": is_overwritten,
        },
        using,
    )
    return [row[0] for row in rows]


def _open_new(request: Request, head_starts: Mapping[str, float], using: str) -> list[int]:
    """Open the task of an object that has none; nothing is done, and nothing returned, if it has one."""
    params = {**asdict(request), "head_start": head_starts[request.priority], "delay": request.delay_seconds}
    return [row[0] for row in execute("request_new", params, using)]


def lock_batch(batch_id: int | None, *, using: str) -> bool:
    """Lock a batch for a request that will count in it; False if somebody else has: nothing is waited for.

    A save in a batch keeps it locked until its transaction ends, and may want rows that a worker has locked.
    """
    if batch_id is None:
        return True
    batches = EmbeddingBatch.objects.using(using).filter(pk=batch_id).order_by()
    return bool(batches.select_for_update(skip_locked=True, no_key=True).values_list("pk", flat=True))


@cache
def _statement(*, is_counted: bool, is_told: bool) -> str:
    """request.sql, with what counts the tasks of a batch, and tells of those that they leave, or without."""
    counted = sql.load("count_in_batch") if is_counted else ""
    return sql.load("request").replace("{counted}", counted + (sql.load("tell_left") if is_told else ""))


def forget(content_type_id: int, object_ids: Collection[str], *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Delete the tasks of objects that are gone; returns how many. A box stays: it holds another object of that key."""
    tasks = tasks_of(using).filter(content_type_id=content_type_id, object_id__in=object_ids)
    forgotten = tasks.filter(payload__isnull=True)
    with telling.ending(forgotten, using):
        return delete(forgotten)


def forget_orphans(orphans: QuerySet[EmbeddingTask], *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Delete tasks whose objects a query says are gone; returns how many.

    It is asked again under the lock: an object with the key may exist again since. The object of a box is to come.
    """
    orphans = orphans.filter(payload__isnull=True)
    with transaction.atomic(using=using):
        free = list(orphans.select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True))
        gone = orphans.filter(pk__in=free)
        with telling.ending(gone, using):
            return delete(gone)
