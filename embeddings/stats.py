"""Questions about the ledger; nothing here writes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db import DEFAULT_DB_ALIAS, models
from django.db.models import Count, DurationField, ExpressionWrapper, F, Max, OuterRef, Q, QuerySet, TextField
from django.db.models.functions import Cast, Now

from embeddings import conf, registry
from embeddings.models import (
    DONE,
    OPEN,
    WAITING,
    EmbeddingBatch,
    EmbeddingOperation,
    EmbeddingTask,
    ProviderCall,
    Status,
)


def counts_by_status(model: type[models.Model] | None = None, *, using: str = DEFAULT_DB_ALIAS) -> dict[str, int]:
    """How many tasks are in each state, all states listed; of one model's targets, or of all."""
    counts = dict(_tasks(model, using).values_list("status").annotate(count=Count("*")))
    return {status: counts.get(status, 0) for status in Status.values}


def states_for(objects: Sequence[models.Model], *, field: str | None = None) -> dict[str, str]:
    """{str(pk): status} of objects of one model; an object without a task is missing.

    `field` names the embedded field where the model has several.
    """
    if not objects:
        return {}
    using = objects[0]._state.db or DEFAULT_DB_ALIAS
    (target,) = (each for each in registry.targets_for(type(objects[0])) if field in {None, each.field})
    tasks = _tasks_of(target, using, [target.object_id(obj) for obj in objects])
    return dict(tasks.values_list("object_id", "status"))


@dataclass(slots=True)
class ChunkProgress:
    """How far the chunks of one object are: "7 of 9 chunks ready"."""

    # Chunks whose vectors are there, all there are, and those that failed for good.
    ready: int = 0
    total: int = 0
    failed: int = 0
    # Whether the chunks are those of the present text; if not, it waits to be split.
    is_split: bool = False
    # Whether nothing more will happen by itself: all is ready, failed or cancelled.
    is_settled: bool = True

    def __str__(self) -> str:
        return f"{self.ready} of {self.total} chunks ready"


def chunk_progress(parents: Sequence[models.Model]) -> dict[Any, ChunkProgress]:
    """{primary key: progress} of objects of one model whose texts are split into chunks; in two queries."""
    if not parents:
        return {}
    using = parents[0]._state.db or DEFAULT_DB_ALIAS
    (splitting,) = registry.splittings_for(type(parents[0]))
    progress = {parent.pk: ChunkProgress() for parent in parents}
    of_object = {splitting.object_id(parent): progress[parent.pk] for parent in parents}
    for object_id, status in _tasks_of(splitting, using, list(of_object)).values_list("object_id", "status"):
        of_object[object_id].is_split = status in DONE
        of_object[object_id].is_settled = status not in OPEN
    for parent, statuses, count in _chunk_counts(splitting, parents, using):
        _add_chunks(of_object[str(parent)], statuses, count)
    return progress


def _add_chunks(progress: ChunkProgress, statuses: list[str], count: int) -> None:
    progress.total += count
    progress.failed += count if Status.FAILED in statuses else 0
    progress.ready += count if statuses and set(statuses) <= set(DONE) else 0
    progress.is_settled &= set(statuses).isdisjoint(OPEN)


def _chunk_counts(
    splitting: registry.Splitting, parents: Sequence[models.Model], using: str
) -> list[tuple[Any, list[str], int]]:
    """(parent's key, statuses of a chunk's tasks, number of such chunks)."""
    chunk_model = splitting.chunk_model
    targets = registry.targets_for(chunk_model)
    tasks = EmbeddingTask.objects.using(using).filter(
        content_type_id__in={target.content_type_id(using) for target in targets},
        field__in=[target.field for target in targets],
        object_id=Cast(OuterRef("pk"), TextField()),
    )
    chunks = splitting.chunks_of(parents, using).order_by()
    statuses = ArraySubquery(tasks.order_by("field").values("status"))
    parent = f"{splitting.parent_field.name}__pk"
    return list(chunks.annotate(_statuses=statuses).values_list(parent, "_statuses").annotate(_count=Count("*")))


def _tasks_of(target: registry.Derived, using: str, object_ids: Collection[str]) -> QuerySet[EmbeddingTask]:
    return EmbeddingTask.objects.using(using).filter(
        content_type_id=target.content_type_id(using), field=target.field, object_id__in=object_ids
    )


def recent_rate(seconds: int = 60, *, using: str = DEFAULT_DB_ALIAS) -> float:
    """Tasks completed a second, over the last `seconds`."""
    since = Now() - timedelta(seconds=seconds)
    return EmbeddingTask.objects.using(using).filter(completed_at__gte=since).count() / seconds


def queue_status(model: type[models.Model] | None = None, *, using: str = DEFAULT_DB_ALIAS) -> dict[str, Any]:
    """{queueLength, processing, isProcessing}: the shape that clients of the older systems read."""
    open_counts = dict(_tasks(model, using).filter(status__in=OPEN).values_list("status").annotate(count=Count("*")))
    processing = open_counts.get(Status.PROCESSING, 0)
    return {
        "queueLength": sum(open_counts.get(status, 0) for status in WAITING),
        "processing": processing,
        "isProcessing": processing > 0,
    }


def provider_rate(alias: str, *, requests: int = 50) -> float | None:
    """Texts a second that one worker gets from a provider, by its last successful requests; None before the first."""
    calls = ProviderCall.objects.using(conf.current().databases[0]).filter(provider=alias, outcome="ok")
    latest = list(calls.order_by("-pk").values_list("inputs", "latency_ms")[:requests])
    seconds = sum(latency_ms for _, latency_ms in latest) / 1000
    if not latest:
        return None
    return sum(inputs for inputs, _ in latest) / max(seconds, 0.001) * conf.current().concurrency


# The time over which the speed of a batch is taken.
RATE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a batch is: counts of its tasks now."""

    # Tasks that ever joined it. The sum of the others is less once some are requested anew, or their objects deleted.
    total: int
    open: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    # Tasks that ended in a second, over the last minute.
    per_second: float = 0.0
    # When its last task ended; None while any is open.
    finished_at: datetime | None = None

    @property
    def share(self) -> float:
        """The part that is not open any more, 0 to 1."""
        return 1.0 - self.open / self.total if self.total else 1.0

    @property
    def eta_seconds(self) -> float | None:
        """How long the rest takes at this speed; None if none of it has moved in the last minute."""
        if not self.open:
            return 0.0
        return self.open / self.per_second if self.per_second else None


def batch_progress(batch_ids: Collection[int], *, using: str = DEFAULT_DB_ALIAS) -> dict[int, BatchProgress]:
    """{batch id: its progress} of the batches that exist, in two queries for all of them."""
    recent = Q(updated_at__gt=Now() - timedelta(seconds=RATE_SECONDS))
    tasks = EmbeddingTask.objects.using(using).filter(batch_id__in=batch_ids).order_by()
    # Nothing but the columns of one index.
    rows = tasks.values_list("batch_id", "status").annotate(
        count=Count("*"), recent=Count("updated_at", filter=recent), latest=Max("updated_at")
    )
    counts: dict[int, list[tuple[str, int, int, datetime]]] = defaultdict(list)
    for batch_id, *row in rows:
        counts[batch_id].append(tuple(row))
    batches = EmbeddingBatch.objects.using(using).filter(pk__in=batch_ids)
    ages = ExpressionWrapper(Now() - F("created_at"), output_field=DurationField())
    return {
        batch_id: _progress(total, age.total_seconds(), counts[batch_id])
        for batch_id, total, age in batches.order_by().values_list("pk", "total", ages)
    }


def eta_seconds(operation: EmbeddingOperation, progress: BatchProgress) -> float | None:
    """How long an operation and its batch will still take; None if unknown."""
    if not operation.is_open:
        return progress.eta_seconds
    if not (progress.per_second and operation.rows_read):
        return None
    unread = max((operation.rows_total or 0) - operation.rows_read, 0)
    return (progress.open + unread * operation.changed / operation.rows_read) / progress.per_second


def _progress(total: int, age_seconds: float, rows: list[tuple[str, int, int, datetime]]) -> BatchProgress:
    groups: dict[str, str] = {**dict.fromkeys(OPEN, "open"), **dict.fromkeys(DONE, "done")}
    counts: dict[str, int] = defaultdict(int)
    ended, latest = 0, None
    for status, count, recent, updated_at in rows:
        counts[groups.get(status, status)] += count
        if status not in OPEN:
            ended += recent
            latest = max(latest or updated_at, updated_at)
    return BatchProgress(
        total=max(total, sum(counts.values())),
        **counts,
        per_second=ended / min(RATE_SECONDS, max(age_seconds, 1.0)),
        finished_at=None if counts.get("open") else latest,
    )


def _tasks(model: type[models.Model] | None, using: str) -> QuerySet[EmbeddingTask]:
    tasks = EmbeddingTask.objects.using(using)
    if model is None:
        return tasks
    ids = {target.content_type_id(using) for target in registry.derived_for(model)}
    return tasks.filter(content_type_id__in=ids)
