"""Pages of the admin that show no table of their own: Django lists a page by its model."""

from __future__ import annotations

from embeddings.models.task import EmbeddingTask


class Overview(EmbeddingTask):
    """How things stand."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = verbose_name_plural = "overview"


class FailureGroup(EmbeddingTask):
    """What went wrong, grouped."""

    class Meta:
        proxy = True
        default_permissions = ()
        verbose_name = "group of failures"
        verbose_name_plural = "failures"
