"""Texts that belong to no object of the project."""

from __future__ import annotations

from django.db import models
from pgvector.django import VectorField


class DirectText(models.Model):
    """A text that somebody wants the vector of, with the vector: `embeddings.embed(text)`. Deleted by age."""

    text = models.TextField()
    embedding = VectorField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "direct text"
        indexes = [models.Index(fields=["created_at"], name="embeddings_text_created")]

    def __str__(self) -> str:
        return f"text {self.pk}"
