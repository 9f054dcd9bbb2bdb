"""Long texts in pieces. (A first form: the branch `chunks` brings the real one.)"""

from __future__ import annotations

from typing import Any

from django.db import models


class Chunk(models.Model):
    """A piece of a parent's text."""

    index = models.PositiveIntegerField()
    start = models.PositiveIntegerField()
    end = models.PositiveIntegerField()
    context = models.TextField(blank=True, default="")
    text = models.TextField()

    class Meta:
        abstract = True
        ordering = ["index"]

    def __str__(self) -> str:
        return f"{self.index}: {self.text[:50]}"


class Chunking:
    """How a parent's text is split."""

    def __init__(self, source: Any, *, context: Any = None, tokens: int = 256, overlap: int = 32) -> None:
        self.source, self.context, self.tokens, self.overlap = source, context, tokens, overlap
