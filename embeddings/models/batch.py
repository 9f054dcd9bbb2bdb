"""Named groups of tasks with progress: an upload, a requeue run."""

from __future__ import annotations

from django.db import models


class EmbeddingBatch(models.Model):
    """A named group of tasks.

    A task belongs to the batch that requested it last, until it is done and somebody requests it again.
    """

    name = models.CharField(max_length=200)
    parameters = models.JSONField(default=dict, blank=True)
    # Tasks that have joined the batch so far.
    total = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    # When a webhook told last that all its tasks were done.
    told_finished_at = models.DateTimeField(null=True, blank=True, editable=False)
    rolled_back_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "embedding batches"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.name} #{self.pk}"
