"""In which state tasks are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS, models
from django.db.models import Count, QuerySet

from embeddings import conf, registry
from embeddings.models import OPEN, WAITING, EmbeddingTask, ProviderCall, Status


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
    tasks = tasks_of(target, using, [target.object_id(obj) for obj in objects])
    return dict(tasks.values_list("object_id", "status"))


def tasks_of(target: registry.Derived, using: str, object_ids: Collection[str]) -> QuerySet[EmbeddingTask]:
    """The tasks of some objects' one target."""
    return EmbeddingTask.objects.using(using).filter(
        content_type_id=target.content_type_id(using), field=target.field, object_id__in=object_ids
    )


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


def _tasks(model: type[models.Model] | None, using: str) -> QuerySet[EmbeddingTask]:
    tasks = EmbeddingTask.objects.using(using)
    if model is None:
        return tasks
    ids = {target.content_type_id(using) for target in registry.derived_for(model)}
    return tasks.filter(content_type_id__in=ids)
