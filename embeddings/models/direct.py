"""Texts that belong to no object of the project, and their vectors."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now
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


class TextVector(models.Model):
    """A vector that was paid for, by the fingerprint of its text, which is not stored. Deleted by age.

    It is for being asked the same again, not for searching: of any provider and any dimensions.
    """

    fingerprint = models.CharField(max_length=64, primary_key=True)
    # Little-endian float32, as OpenAI's base64 has it.
    vector = models.BinaryField()
    tokens = models.PositiveIntegerField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["created_at"], name="embeddings_vector_created")]

    def __str__(self) -> str:
        return self.fingerprint
