"""Which models have made the vectors of a target."""

from __future__ import annotations

from django.contrib.contenttypes.models import ContentType
from django.db import models


class TargetModelId(models.Model):
    """A model that has written vectors of a target; a search compares with those of one model only."""

    content_type = models.ForeignKey(ContentType, models.CASCADE, verbose_name="model", db_index=False)
    field = models.CharField(max_length=100)
    model_id = models.CharField(max_length=200)
    dimensions = models.PositiveIntegerField()
    # When a worker last meant to write with it; to within `model_ids.FRESH_SECONDS`.
    seen_at = models.DateTimeField()

    class Meta:
        verbose_name = "model of a target"
        verbose_name_plural = "models of targets"
        constraints = [
            models.UniqueConstraint(
                fields=["content_type", "field", "model_id", "dimensions"], name="embeddings_target_model_id"
            )
        ]

    def __str__(self) -> str:
        return f"{self.field} by {self.model_id} ({self.dimensions})"
