"""Embedding in the save: the row is written once, with its vector, and whoever saves waits for the provider."""

from __future__ import annotations

from typing import Any

from benchmarks.models import HandmadePage
from embeddings.providers import get_provider


class InlinePage(HandmadePage):
    """A HandmadePage whose `save()` embeds it."""

    class Meta:
        app_label = "benchmarks"
        proxy = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        (self.embedding,) = get_provider("default").embed([f"{self.title}\n{self.body}"]).vectors
        super().save(*args, **kwargs)
