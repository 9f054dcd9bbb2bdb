"""What was done in each minute, for charts and percentiles: small rows that workers add up."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models


class TargetMinute(models.Model):
    """The tasks of one target that came to an end in one minute."""

    # "content.article.embedding".
    target = models.CharField(max_length=255)
    minute = models.DateTimeField()
    completed = models.PositiveBigIntegerField(default=0)
    # Attempts that failed, and tasks that failed for good.
    attempts_failed = models.PositiveBigIntegerField(default=0)
    failed = models.PositiveBigIntegerField(default=0)
    # Seconds from the request to the vector, as counts in `embeddings.histogram` buckets.
    waiting = ArrayField(models.BigIntegerField(), default=list)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["minute", "target"], name="embeddings_target_minute")]

    def __str__(self) -> str:
        return f"{self.target} {self.minute:%H:%M}"


class ProviderMinute(models.Model):
    """The requests to one provider that were answered, or failed, in one minute."""

    provider = models.CharField(max_length=64)
    minute = models.DateTimeField()
    requests = models.PositiveBigIntegerField(default=0)
    # Of them: those without vectors, and among these those that were told to slow down.
    failed = models.PositiveBigIntegerField(default=0)
    rate_limited = models.PositiveBigIntegerField(default=0)
    inputs = models.PositiveBigIntegerField(default=0)
    tokens = models.PositiveBigIntegerField(default=0)
    # US dollars, as far as the price is known.
    cost = models.DecimalField(max_digits=14, decimal_places=8, default=0)
    # Seconds of answered requests, as counts in `embeddings.histogram` buckets.
    latency = ArrayField(models.BigIntegerField(), default=list)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["minute", "provider"], name="embeddings_provider_minute")]

    def __str__(self) -> str:
        return f"{self.provider} {self.minute:%H:%M}"
