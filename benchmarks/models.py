"""The same rows with and without embeddings, and made in other ways."""

from __future__ import annotations

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.db import models
from pgvector.django import HnswIndex, VectorField

from embeddings.fields import EmbeddingField
from embeddings.managers import EmbeddingManager

DIMENSIONS = 256
WIDE_DIMENSIONS = 1536


class Page(models.Model):
    """What all have; about 100 characters of text."""

    title = models.CharField(max_length=200)
    body = models.TextField(blank=True, default="")

    class Meta:
        abstract = True


class PlainPage(Page):
    """No vector at all."""


class EmbeddedPage(Page):
    """Our field, without an index."""

    embedding = EmbeddingField(source=["title", "body"], dimensions=DIMENSIONS)

    objects = EmbeddingManager()


class IndexedPage(Page):
    """Our field with an HNSW index, and words."""

    kind = models.IntegerField(default=0)
    embedding = EmbeddingField(source=["title", "body"], dimensions=DIMENSIONS)

    objects = EmbeddingManager()

    class Meta:
        indexes = [
            models.Index(fields=["kind"], name="indexed_page_kind"),
            HnswIndex(fields=["embedding"], opclasses=["vector_cosine_ops"], name="indexed_page_embedding"),
        ]


class SearchedPage(Page):
    """What docs/search.md advises for many rows: an index each for meaning, for words, and for what still waits."""

    kind = models.IntegerField(default=0)
    words = models.GeneratedField(
        expression=SearchVector("title", weight="A", config="english") + SearchVector("body", config="english"),
        output_field=SearchVectorField(),
        db_persist=True,
    )
    embedding = EmbeddingField(source=["title", "body"], dimensions=DIMENSIONS, words="words")

    objects = EmbeddingManager()

    class Meta:
        indexes = [
            models.Index(fields=["kind"], name="searched_page_kind"),
            models.Index(fields=["id"], condition=models.Q(embedding__isnull=True), name="searched_page_waiting"),
            GinIndex(fields=["words"], name="searched_page_words"),
            HnswIndex(fields=["embedding"], opclasses=["vector_cosine_ops"], name="searched_page_meaning"),
        ]


class WidePage(Page):
    """Our field with the dimensions of OpenAI's model, by the provider "http"."""

    embedding = EmbeddingField(source=["title", "body"], dimensions=WIDE_DIMENSIONS, provider="http")

    objects = EmbeddingManager()


class HandmadePage(Page):
    """A vector column that `benchmarks.baselines` fill."""

    embedding = VectorField(dimensions=DIMENSIONS, null=True)


class WideHandmadePage(Page):
    """The same with the dimensions of OpenAI's model."""

    embedding = VectorField(dimensions=WIDE_DIMENSIONS, null=True)
