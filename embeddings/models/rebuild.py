"""Indexes that are not there for now."""

from __future__ import annotations

from django.db import models


class IndexRebuild(models.Model):
    """An approximate index that a backfill drops, with all that it takes to build it again; deleted once it is there.

    It is written before the index is dropped, in the same database: whenever the command dies, nothing is forgotten.
    """

    # "content.article.embedding".
    target = models.CharField(max_length=255)
    # As SQL names it, with its schema.
    table = models.TextField()
    schema = models.CharField(max_length=63)
    name = models.CharField(max_length=63)
    # The whole CREATE INDEX, with every name qualified; what it does not say is below.
    definition = models.TextField()
    # "" for that of the database.
    tablespace = models.CharField(max_length=63, blank=True, default="")
    comment = models.TextField(blank=True, default="")
    started_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["schema", "name"], name="embeddings_rebuild_one")]

    def __str__(self) -> str:
        return self.name
