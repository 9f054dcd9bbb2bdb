"""System 003: articles, with slug, title and content."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.indexes import GinIndex
from django.core.validators import RegexValidator
from django.db import models
from django.urls import reverse
from pgvector.django import HnswIndex

from embeddings.fields import EmbeddingField
from embeddings.managers import EmbeddingManager
from project.content.kinds import Kind
from project.content.models.words import WordsField


class Article(models.Model):
    """One text. `slug` is its stable name ("subprocess.run"), `source` what it came from ("subprocess").

    The signature is shown but not searched: parameter names say less about what a function is for than its
    documentation does, and there may be more of them.
    """

    slug = models.CharField(
        max_length=200,
        unique=True,
        validators=[RegexValidator(r"^[\w.-]+(/[\w.-]+)*\Z", "Use words with dots, hyphens or slashes between them.")],
        help_text="The article's address, such as “subprocess.run” or “guides/first-steps”.",
    )
    title = models.CharField(max_length=200)
    signature = models.TextField(blank=True, help_text="Shown above the text; not searched.")
    keywords = models.CharField(max_length=200, blank=True, help_text="Other words to find it by; not shown.")
    content = models.TextField(blank=True)
    source = models.CharField(max_length=200, blank=True)
    kind = models.CharField(max_length=20, choices=Kind, default=Kind.WRITTEN, db_index=True, editable=False)
    updated_at = models.DateTimeField(auto_now=True)
    words = WordsField("title", "keywords", "content")
    embedding = EmbeddingField(
        source=["title", "keywords", "content"], dimensions=settings.EMBEDDING_DIMENSIONS, words="words"
    )

    objects = EmbeddingManager()

    class Meta:
        indexes = [
            GinIndex(fields=["words"], name="article_words"),
            HnswIndex(fields=["embedding"], opclasses=["vector_cosine_ops"], name="article_meaning"),
            # Those that wait for their vector, which searches find by words.
            models.Index(fields=["id"], condition=models.Q(embedding__isnull=True), name="article_waiting"),
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("article", args=[self.slug])
