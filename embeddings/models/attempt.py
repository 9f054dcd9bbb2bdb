"""What happened to tasks: one row an attempt that came to its end."""

from __future__ import annotations

from django.db import models

from embeddings.models.task import EmbeddingTask


class TaskAttempt(models.Model):
    """One attempt at a task. Written in the statement that ends it; deleted by age."""

    class Outcome(models.TextChoices):
        # The vector was written, or nulled because there is no text.
        COMPLETED = "completed", "completed"
        # It failed; `is_final` says whether the task failed with it or waits for its next attempt.
        FAILED = "failed", "failed"
        # The worker died with the task in hand.
        CRASHED = "crashed", "crashed"

    # Without a constraint: tasks go with their objects, in statements that ask for nothing else.
    task = models.ForeignKey(
        EmbeddingTask, models.DO_NOTHING, related_name="history", db_constraint=False, db_index=False
    )
    outcome = models.CharField(max_length=9, choices=Outcome.choices)
    is_final = models.BooleanField(default=True)
    # Which attempt it was since the task was requested, and for which version of it.
    number = models.PositiveSmallIntegerField()
    version = models.PositiveIntegerField()
    worker = models.CharField(max_length=255, blank=True, default="")
    claimed_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField()
    tokens = models.PositiveIntegerField(null=True, blank=True)
    model_id = models.CharField(max_length=200, blank=True, default="")
    error_kind = models.CharField(max_length=16, blank=True, default="")
    error_class = models.CharField(max_length=200, blank=True, default="")
    error_message = models.TextField(blank=True, default="")

    class Meta:
        verbose_name = "attempt"
        default_permissions = ()
        # Clean-up goes by the keys, which rise with the time: every index is paid for with each attempt.
        indexes = [models.Index(fields=["task", "id"], name="embeddings_attempt_task")]

    def __str__(self) -> str:
        return f"attempt {self.number} of task {self.task_id}: {self.outcome}"
