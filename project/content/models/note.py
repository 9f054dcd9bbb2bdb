"""System 002, entities: notes that appear together with their vectors."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.urls import reverse

from embeddings.fields import EmbeddingField
from embeddings.managers import EmbeddingManager
from project.content.models.words import WordsField


class Note(models.Model):
    """A note. Made by `create_boxed()`, it is nowhere to be seen until it can be found by meaning."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slug = models.SlugField(max_length=100, unique=True)
    title = models.CharField(max_length=200)
    text = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)
    words = WordsField("title", "text")
    embedding = EmbeddingField(source=["title", "text"], dimensions=settings.EMBEDDING_DIMENSIONS, words="words")

    objects = EmbeddingManager()

    class Meta:
        indexes = [GinIndex(fields=["words"], name="note_words")]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("note", args=[self.pk])
