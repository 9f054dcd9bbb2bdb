"""Pages of the tasks that match a filter, by id: each task once, however often it changes meanwhile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from embeddings.models import EmbeddingTask

# Tasks of one status that are counted for the progress bar.
MOST_COUNTED = 1_000_000


@dataclass(frozen=True, slots=True)
class Page:
    """Tasks that were read, and those of them to be changed, which are locked."""

    rows: int
    ids: list[int]
    cursor: dict[str, Any]
    is_last: bool
    # Nothing is left but tasks that others have locked.
    is_blocked: bool


def count(tasks: QuerySet[EmbeddingTask], statuses: Iterable[str]) -> int:
    """How many of them are in these statuses now."""
    return sum(tasks.filter(status=status).order_by()[:MOST_COUNTED].count() for status in statuses)


def next_page(tasks: QuerySet[EmbeddingTask], statuses: Sequence[str], cursor: dict[str, Any], size: int) -> Page:
    """Those of `tasks` after `cursor` that are in one of the statuses, in the caller's transaction.

    Tasks that somebody else has locked are kept in the cursor and come again after all others.
    """
    left: list[int] = cursor.get("left", [])
    after: int = cursor.get("after", 0)
    fresh = _ids_after(tasks.filter(pk__gt=after), statuses, size) if len(left) < size else []
    matching = tasks.filter(status__in=statuses, pk__in=fresh or left)
    free = list(_locked(matching))
    held = set(matching.values_list("pk", flat=True)).difference(free)
    still_left = [*(left if fresh else []), *sorted(held)]
    return Page(
        rows=len(fresh),
        ids=free,
        cursor={"after": fresh[-1] if fresh else after, "left": still_left},
        is_last=not fresh and len(left) < size and not still_left,
        is_blocked=not fresh and bool(still_left) and not free,
    )


def _ids_after(tasks: QuerySet[EmbeddingTask], statuses: Iterable[str], size: int) -> list[int]:
    """The first ids. Each status is read by itself: there is an index for it, but none for several in order of ids."""
    parts = (tasks.filter(status=status).order_by("pk").values_list("pk", flat=True)[:size] for status in statuses)
    return sorted(task_id for part in parts for task_id in part)[:size]


def _locked(tasks: QuerySet[EmbeddingTask]) -> QuerySet[EmbeddingTask, int]:
    return tasks.order_by("pk").select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True)
