"""How far the chunks of long texts are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db import DEFAULT_DB_ALIAS, models
from django.db.models import Count, OuterRef, TextField
from django.db.models.functions import Cast

from embeddings import registry
from embeddings.models import DONE, OPEN, EmbeddingTask, Status
from embeddings.stats.states import tasks_of


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
    for object_id, status in tasks_of(splitting, using, list(of_object)).values_list("object_id", "status"):
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
