"""Named groups of tasks with progress: an upload, a requeue run."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Count, Q

from embeddings.models.status import DONE, OPEN, Status


class BatchQuerySet(models.QuerySet["EmbeddingBatch"]):
    def with_progress(self) -> BatchQuerySet:
        """Annotate `open_count`, `done_count`, `failed_count` and `cancelled_count` of each batch's tasks."""
        return self.annotate(
            open_count=Count("tasks", filter=Q(tasks__status__in=OPEN)),
            done_count=Count("tasks", filter=Q(tasks__status__in=DONE)),
            failed_count=Count("tasks", filter=Q(tasks__status=Status.FAILED)),
            cancelled_count=Count("tasks", filter=Q(tasks__status=Status.CANCELLED)),
        )


class EmbeddingBatch(models.Model):
    """A named group of tasks. A task belongs to the batch that requested it last."""

    name = models.CharField(max_length=200)
    parameters = models.JSONField(default=dict, blank=True)
    # Tasks that the batch has requested so far.
    total = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    rolled_back_at = models.DateTimeField(null=True, blank=True)

    objects = BatchQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "embedding batches"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.name} #{self.pk}"

    def progress(self) -> dict[str, int]:
        """Counts of this batch's tasks: total, open, done, failed, cancelled."""
        counts: dict[str, Any] = self.tasks.aggregate(
            open=Count("pk", filter=Q(status__in=OPEN)),
            done=Count("pk", filter=Q(status__in=DONE)),
            failed=Count("pk", filter=Q(status=Status.FAILED)),
            cancelled=Count("pk", filter=Q(status=Status.CANCELLED)),
        )
        return {"total": self.total, **counts}
