"""System 001: recommendations, which were made again one and all whenever the embedding model changed."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.urls import reverse

from embeddings.fields import EmbeddingField
from embeddings.managers import EmbeddingManager
from project.content.models.words import WordsField


class Recommendation(models.Model):
    """One piece of advice."""

    title = models.CharField(max_length=200)
    text = models.TextField()
    topic = models.CharField(max_length=50, blank=True, db_index=True)
    created_at = models.DateTimeField(auto_now_add=True)
    words = WordsField("title", "text")
    embedding = EmbeddingField(source=["title", "text"], dimensions=settings.EMBEDDING_DIMENSIONS, words="words")

    objects = EmbeddingManager()

    class Meta:
        indexes = [GinIndex(fields=["words"], name="recommendation_words")]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("recommendation", args=[self.pk])
