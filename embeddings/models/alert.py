"""What operators were told of because it needs them."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Alert(models.Model):
    """Something that is wrong, from when it was noticed until it is over. In the first of the databases."""

    class Kind(models.TextChoices):
        FAILED = "failed", "many failed tasks"
        WAITING = "waiting", "tasks wait too long"
        NO_WORKER = "no_worker", "no worker"
        PROVIDER = "provider", "provider blocked"

    kind = models.CharField(max_length=9, choices=Kind.choices)
    # A provider's alias; "" for what is about everything.
    subject = models.CharField(max_length=255, blank=True, default="")
    # One sentence that says what is wrong and what to do.
    message = models.TextField()
    raised_at = models.DateTimeField(auto_now_add=True)
    # When it was still so: what comes and goes within a minute is one alert.
    seen_at = models.DateTimeField(db_default=Now())
    over_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"], condition=models.Q(over_at__isnull=True), name="embeddings_alert_one"
            )
        ]

    def __str__(self) -> str:
        return self.message
