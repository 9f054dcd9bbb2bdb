"""Questions about the ledger; nothing here writes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db import DEFAULT_DB_ALIAS, models
from django.db.models import Count, OuterRef, QuerySet, TextField
from django.db.models.functions import Cast, Now

from embeddings import conf, registry
from embeddings.models import DONE, OPEN, WAITING, EmbeddingTask, ProviderCall, Status


def counts_by_status(model: type[models.Model] | None = None, *, using: str = DEFAULT_DB_ALIAS) -> dict[str, int]:
    """How many tasks are in each state, all states listed; of one model's targets, or of all."""
    counts = dict(_tasks(model, using).values_list("status").annotate(count=Count("*")))
    return {status: counts.get(status, 0) for status in Status.values}


def states_for(objects: Sequence[models.Model]) -> dict[str, str]:
    """{str(pk): status} of objects of one model with one embedded field; an object without a task is missing."""
    if not objects:
        return {}
    using = objects[0]._state.db or DEFAULT_DB_ALIAS
    (target,) = registry.targets_for(type(objects[0]))
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


def batch_progress(batch_ids: Collection[int], *, using: str = DEFAULT_DB_ALIAS) -> dict[int, dict[str, int]]:
    """{batch id: counts of its tasks now: open, done, failed, cancelled}, in one query for all of them."""
    groups = dict.fromkeys(OPEN, "open") | dict.fromkeys(DONE, "done")
    progress = {batch_id: {"open": 0, "done": 0, "failed": 0, "cancelled": 0} for batch_id in batch_ids}
    tasks = EmbeddingTask.objects.using(using).filter(batch_id__in=batch_ids)
    # COUNT(*), not COUNT(id), which no index holds: five times faster for 400,000 tasks.
    counts = tasks.values_list("batch_id", "status").annotate(count=Count("*")).order_by()
    for batch_id, status, count in counts:
        progress[batch_id][groups.get(status, status)] += count
    return progress


def _tasks(model: type[models.Model] | None, using: str) -> QuerySet[EmbeddingTask]:
    tasks = EmbeddingTask.objects.using(using)
    if model is None:
        return tasks
    ids = {target.content_type_id(using) for target in registry.derived_for(model)}
    return tasks.filter(content_type_id__in=ids)
