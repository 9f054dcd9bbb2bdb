"""What the ledger holds, counted from time to time: whoever looks does not count a million rows."""

from __future__ import annotations

from django.contrib.contenttypes.models import ContentType
from django.db import models


class Census(models.Model):
    """When the ledger of a database was counted last; one row."""

    taken_at = models.DateTimeField(null=True, blank=True)
    # Nobody counts before; who counts moves it on first.
    due_at = models.DateTimeField()
    took_seconds = models.FloatField(default=0.0)
    # The part of the table that was read: less than 1 means that the counts are estimates.
    share = models.FloatField(default=1.0)
    # {"content.article": [rows of its table, whether they were counted]}; else they are an estimate.
    table_rows = models.JSONField(default=dict)

    class Meta:
        default_permissions = ()
        constraints = [models.CheckConstraint(condition=models.Q(pk=1), name="embeddings_census_one")]

    def __str__(self) -> str:
        return f"census of {self.taken_at}"


class CensusCount(models.Model):
    """How many tasks are alike in all this."""

    content_type = models.ForeignKey(ContentType, models.CASCADE, db_index=False)
    field = models.CharField(max_length=100)
    provider = models.CharField(max_length=64)
    status = models.CharField(max_length=12)
    # Whether the column holds a vector, if only one of an older text; by which model.
    has_vector = models.BooleanField()
    model_id = models.CharField(max_length=200, blank=True, default="")
    dimensions = models.PositiveIntegerField(null=True, blank=True)
    count = models.PositiveBigIntegerField()
    tokens_estimated = models.PositiveBigIntegerField(default=0)
    # Since when the one of them waits that has waited longest; null where none waits.
    waiting_since = models.DateTimeField(null=True, blank=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.count} {self.status}"
