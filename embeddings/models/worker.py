"""Workers, as PostgreSQL knows them: RQ's registry forgets living workers when Redis restarts."""

from __future__ import annotations

from django.db import models

# A worker that has not been heard of for this long is not counted as alive.
ALIVE_SECONDS = 30


class WorkerStatus(models.Model):
    """One `rqworker` process, kept current by its own heartbeats."""

    class State(models.TextChoices):
        # It holds tasks.
        ACTIVE = "active", "active"
        # It waits for work.
        IDLE = "idle", "idle"
        # It ended in order.
        STOPPED = "stopped", "stopped"
        # Its last job ended with an exception.
        ERROR = "error", "error"

    name = models.CharField(max_length=255, unique=True)
    hostname = models.CharField(max_length=255, blank=True)
    pid = models.PositiveIntegerField(null=True, blank=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.IDLE)
    # Tasks in hand.
    claimed = models.PositiveIntegerField(default=0)
    completed = models.PositiveBigIntegerField(default=0)
    failed = models.PositiveBigIntegerField(default=0)
    rate_limited = models.PositiveBigIntegerField(default=0)
    last_error = models.TextField(blank=True, default="")
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField()
    stopped_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "worker"
        ordering = ["-heartbeat_at"]
        constraints = [
            models.CheckConstraint(
                name="embeddings_worker_state", condition=models.Q(state__in=["active", "idle", "stopped", "error"])
            ),
        ]

    def __str__(self) -> str:
        return self.name
