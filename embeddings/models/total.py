"""What was done since the tables were made: the minutes added up, which are deleted by age, so that these only rise."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models


class TargetTotal(models.Model):
    """The tasks of one target that ever came to an end. Its columns are those of TargetMinute."""

    target = models.CharField(max_length=255, primary_key=True)
    completed = models.PositiveBigIntegerField(default=0)
    attempts_failed = models.PositiveBigIntegerField(default=0)
    failed = models.PositiveBigIntegerField(default=0)
    waiting = ArrayField(models.BigIntegerField(), default=list)
    # Of all durations in `waiting`.
    seconds = models.FloatField(default=0.0)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.target


class ProviderTotal(models.Model):
    """The requests to one provider, ever. Its columns are those of ProviderMinute."""

    provider = models.CharField(max_length=64, primary_key=True)
    requests = models.PositiveBigIntegerField(default=0)
    failed = models.PositiveBigIntegerField(default=0)
    rate_limited = models.PositiveBigIntegerField(default=0)
    inputs = models.PositiveBigIntegerField(default=0)
    tokens = models.PositiveBigIntegerField(default=0)
    cost = models.DecimalField(max_digits=20, decimal_places=8, default=0)
    latency = ArrayField(models.BigIntegerField(), default=list)
    # Of all durations in `latency`.
    seconds = models.FloatField(default=0.0)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.provider
