"""How far the vectors of all collections are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from django.contrib.contenttypes.models import ContentType
from django.db.models import Count, Model, QuerySet, Value

from embeddings import registry
from embeddings.models import DONE, OPEN, EmbeddingTask, Status
from project.content.models import Article, Block, Note, Page, PageChunk, Receipt, ReceiptItem, Recommendation

# What has vectors. A page has none of its own, but while it waits to be split there are more to come.
EMBEDDED = (Article, PageChunk, Block, Note, Recommendation, Receipt, ReceiptItem)


@dataclass(frozen=True, slots=True)
class Progress:
    """How many vectors there are to be, and how many are ready, on their way, and failed."""

    total: int
    ready: int
    waiting: int
    failed: int


def progress() -> Progress:
    """Counted now, in two queries. A vector of no text counts as ready: there is nothing left to do for it."""
    tasks = _tasks_by_status()
    rows = counts_of({model: model._base_manager.all() for model in EMBEDDED})
    splits = tasks.pop(Page)
    unsplit = sum(splits[status] for status in (*OPEN, Status.FAILED))
    both = [splits, *tasks.values()]
    return Progress(
        total=unsplit + sum(_vectors(model, rows[model], tasks[model]) for model in EMBEDDED),
        ready=sum(found[status] for found in tasks.values() for status in DONE),
        waiting=sum(found[status] for found in both for status in OPEN),
        failed=sum(found[Status.FAILED] for found in both),
    )


def counts_of(querysets: Mapping[type[Model], QuerySet]) -> dict[type[Model], int]:
    """How many objects each queryset has, in one query for all of them."""
    first, *others = (
        objects.order_by().values(label=Value(model._meta.label)).annotate(number=Count("*"))
        for model, objects in querysets.items()
    )
    counted = {row["label"]: row["number"] for row in first.union(*others, all=True)}
    return {model: counted.get(model._meta.label, 0) for model in querysets}


def _tasks_by_status() -> dict[type[Model], Counter[str]]:
    models = ContentType.objects.get_for_models(*EMBEDDED, Page)
    named = {content_type.pk: model for model, content_type in models.items()}
    found: dict[type[Model], Counter[str]] = {model: Counter() for model in models}
    tasks = EmbeddingTask.objects.filter(content_type__in=named)
    for content_type_id, status, count in tasks.values_list("content_type", "status").annotate(n=Count("*")).order_by():
        found[named[content_type_id]][status] = count
    return found


def _vectors(model: type[Model], rows: int, tasks: Counter[str]) -> int:
    """A row may have no task yet, if it came past the signals; a task may have no row yet, if it is boxed."""
    return max(rows * len(registry.targets_for(model)), tasks.total())
