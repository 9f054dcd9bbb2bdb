"""How far batches and operations are, and how long they will still take."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Count, DurationField, ExpressionWrapper, F, Max, Q
from django.db.models.functions import Now

from embeddings.models import DONE, OPEN, EmbeddingBatch, EmbeddingOperation, EmbeddingTask

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
