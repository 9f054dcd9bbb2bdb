"""Long texts: a model that declares what of it is split, and a model of its chunks, each embedded by itself.

class Page(models.Model):
    title = models.CharField(max_length=200)
    content = models.TextField()
    chunking = Chunking(source="content", context="title", tokens=200, overlap=20)

    objects = EmbeddingManager()


class PageChunk(Chunk):
    page = models.ForeignKey(Page, models.CASCADE, related_name="chunks")
    embedding = EmbeddingField(source=["context", "text"])
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.signals import class_prepared

from embeddings import registry
from embeddings.managers import EmbeddingManager
from embeddings.models import Priority


class Chunking:
    """Declares on a model that its text is split into chunks, in the background, as often as it changes."""

    def __init__(
        self,
        source: registry.Source,
        *,
        context: registry.Source | None = None,
        tokens: int = 256,
        overlap: int = 32,
        priority: str = Priority.NORMAL,
        delay: float = 0.0,
        when: registry.Predicate | None = None,
    ) -> None:
        """`source` and `context`: field names, dotted relation paths, a method's name, or a callable.

        `context` is repeated in every chunk. A chunk has `tokens` at most, by estimate and without the context, and
        begins with up to `overlap` tokens of the one before. The text is read as Markdown. `priority`, `delay` and
        `when` are as those of EmbeddingField; the chunks are embedded with the priority of their page.
        """
        self.options: dict[str, Any] = {
            "source": source,
            "context": context,
            "tokens": tokens,
            "overlap": overlap,
            "priority": priority,
            "delay_seconds": delay,
            "when": when,
        }

    def contribute_to_class(self, cls: type[models.Model], name: str) -> None:
        setattr(cls, name, self)
        if not cls._meta.abstract:
            registry.add(registry.Splitting(model=cls, field=name, **self.options))
            return

        def inherit(sender: type[models.Model], **kwargs: object) -> None:
            is_first = not any(issubclass(parent, cls) for parent in sender._meta.get_parent_list())
            if issubclass(sender, cls) and not sender._meta.proxy and is_first and getattr(sender, name, None) is self:
                registry.add(registry.Splitting(model=sender, field=name, **self.options))

        class_prepared.connect(inherit, weak=False)


class Chunk(models.Model):
    """One passage of a long text. A subclass adds a foreign key to the model of the text, and an EmbeddingField."""

    # Its place among the chunks of its text, from 0.
    index = models.PositiveIntegerField()
    # Where it is in the text, in characters: `text` is what the source has from `start` to `end`.
    start = models.PositiveIntegerField()
    end = models.PositiveIntegerField()
    # What its text has to say to all its chunks.
    context = models.TextField(blank=True, default="")
    text = models.TextField()

    objects = EmbeddingManager()

    class Meta:
        abstract = True
        ordering = ("index",)

    def __str__(self) -> str:
        return f"{self.index}: {self.text[:60]}"


setattr(Chunk, registry.CHUNK_MARK, True)
