"""System 000, the editor: workspaces with pages, which are long, and blocks, which are short."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.urls import reverse
from pgvector.django import HnswIndex

from embeddings.chunks import Chunk, Chunking
from embeddings.fields import EmbeddingField
from embeddings.managers import EmbeddingManager
from embeddings.models import Priority
from project.content.models.words import WordsField


class Workspace(models.Model):
    """Who may see which pages: its members see all of its pages and blocks, and nobody else does."""

    name = models.CharField(max_length=100, unique=True)
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True, related_name="workspaces")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Page(models.Model):
    """A long Markdown text. It has no vector of its own: its chunks have."""

    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="pages")
    title = models.CharField(max_length=200)
    content = models.TextField(blank=True, help_text="Markdown.")
    updated_at = models.DateTimeField(auto_now=True)
    words = WordsField("title", "content")
    chunking = Chunking(source="content", context="title", tokens=200, overlap=20)

    objects = EmbeddingManager()

    class Meta:
        indexes = [GinIndex(fields=["words"], name="page_words")]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("page", args=[self.pk])


class PageChunk(Chunk):
    """A piece of a page, as it is embedded: with the page's title in front."""

    page = models.ForeignKey(Page, models.CASCADE, related_name="chunks")
    words = WordsField("context", "text")
    embedding = EmbeddingField(source=["context", "text"], dimensions=settings.EMBEDDING_DIMENSIONS, words="words")

    class Meta(Chunk.Meta):
        indexes = [
            GinIndex(fields=["words"], name="pagechunk_words"),
            HnswIndex(fields=["embedding"], opclasses=["vector_cosine_ops"], name="pagechunk_meaning"),
            models.Index(fields=["id"], condition=models.Q(embedding__isnull=True), name="pagechunk_waiting"),
        ]

    def __str__(self) -> str:
        return f"{self.page_id}/{self.index}"


class Block(models.Model):
    """A short piece of a page. Other than people's saves wait five seconds, so that many become one."""

    page = models.ForeignKey(Page, models.CASCADE, related_name="blocks")
    position = models.PositiveIntegerField(default=0)
    text = models.TextField(blank=True)
    updated_at = models.DateTimeField(auto_now=True)
    words = WordsField("text")
    embedding = EmbeddingField(
        source="text", dimensions=settings.EMBEDDING_DIMENSIONS, delay=5, priority=Priority.LOW, words="words"
    )

    objects = EmbeddingManager()

    class Meta:
        ordering = ["page", "position", "pk"]
        indexes = [GinIndex(fields=["words"], name="block_words")]

    def __str__(self) -> str:
        return self.text[:50] or f"block {self.pk}"
