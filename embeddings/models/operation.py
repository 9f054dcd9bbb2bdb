"""What workers do to all rows of a model, or to many tasks, page by page, while nobody waits."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from embeddings.models.batch import EmbeddingBatch


class OperationQuerySet(models.QuerySet["EmbeddingOperation"]):
    def free(self) -> OperationQuerySet:
        """Those that are not at their end, and that nobody works on now."""
        return self.filter(Q(lease_until=None) | Q(lease_until__lt=Now()), finished_at=None)

    def let_go(self, worker: str) -> None:
        """Free what a worker has in hand no more."""
        self.filter(worker=worker, finished_at=None).update(lease_until=None)


class EmbeddingOperation(models.Model):
    """One operation on one target. It goes on from `cursor`, whichever worker takes it up next."""

    class Kind(models.TextChoices):
        # Every row's vector is made anew, also from unchanged text; the old one stays until then.
        REGENERATE = "regenerate", "regenerate"
        # Rows whose vectors are missing, stale or failed are queued, as by `manage.py requeue_missing`.
        REQUEUE = "requeue", "requeue"
        # Tasks that match a filter are tried again, cancelled, or deleted from the ledger.
        RETRY = "retry", "retry"
        CANCEL = "cancel", "cancel"
        CLEAR = "clear", "clear"

    class State(models.TextChoices):
        # No worker has begun it.
        WAITING = "waiting", "waiting"
        # Workers read its rows.
        RUNNING = "running", "running"
        # All rows were read; their tasks are in the batch.
        DONE = "done", "done"
        # Somebody stopped it.
        STOPPED = "stopped", "stopped"
        # It cannot go on; `error_message` says why.
        FAILED = "failed", "failed"

    kind = models.CharField(max_length=20, choices=Kind.choices)
    # "app.model" or "app.model.field"; "" where `parameters` hold a filter of tasks.
    target = models.CharField(max_length=255, blank=True)
    parameters = models.JSONField(default=dict, blank=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    # Up to where it has read, and which rows before were locked then; only its kind understands it.
    cursor = models.JSONField(default=dict, blank=True)
    # Estimated at the start; exact at the end.
    rows_total = models.PositiveBigIntegerField(null=True, blank=True)
    rows_read = models.PositiveBigIntegerField(default=0)
    # Tasks that it has opened, retried, cancelled or deleted.
    changed = models.PositiveBigIntegerField(default=0)
    batch = models.ForeignKey(
        EmbeddingBatch, models.SET_NULL, null=True, blank=True, related_name="operations", verbose_name="batch"
    )
    # The name of the user who began it.
    by = models.CharField(max_length=255, blank=True, default="")
    # Of the form that began it: sent twice, it begins one operation.
    token = models.UUIDField(null=True, blank=True, editable=False, unique=True)

    # Who works on it; free when the lease ran out. A row's lock, not the lease, makes sure that a page is done once.
    worker = models.CharField(max_length=255, blank=True, default="")
    lease_until = models.DateTimeField(null=True, blank=True)
    error_message = models.TextField(blank=True, default="")

    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = OperationQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        permissions = [("stop_embeddingoperation", "Can stop embedding operations")]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "target"],
                condition=Q(finished_at__isnull=True) & ~Q(target=""),
                name="embeddings_operation_one_at_a_time",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["waiting", "running", "done", "stopped", "failed"]),
                name="embeddings_operation_state",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["waiting", "running"], finished_at__isnull=True)
                | Q(state__in=["done", "stopped", "failed"], finished_at__isnull=False, lease_until__isnull=True),
                name="embeddings_operation_time_if_ended",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.target or 'tasks'} #{self.pk}"

    @property
    def is_open(self) -> bool:
        return self.finished_at is None
