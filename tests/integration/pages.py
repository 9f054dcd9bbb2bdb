"""Long texts for the tests of chunking, and questions about their chunks."""

from __future__ import annotations

from typing import Any

from django.db import models

from embeddings.models import EmbeddingTask
from embeddings.providers.dummy import vector
from tests.testapp.models import DIMENSIONS, Doc, DocChunk


def paragraph(number: int) -> str:
    """About 40 tokens: two do not fit into one chunk of a Doc."""
    words = "and goes on for some time about it " * 3
    return f"Paragraph {number} says that {number} is not {number + 1}, {words}."


def content(paragraphs: int) -> str:
    """A text that is split into so many chunks."""
    return "\n\n".join(paragraph(number) for number in range(paragraphs))


def make_doc(paragraphs: int, *, title: str = "Title", **values: Any) -> Doc:
    return Doc.objects.create(title=title, content=content(paragraphs), **values)


def texts(doc: Doc) -> list[str]:
    return list(doc.chunks.values_list("text", flat=True))


def keys(doc: Doc) -> list[int]:
    return list(doc.chunks.values_list("pk", flat=True))


def is_ready(doc: Doc) -> bool:
    """Whether the chunks are those of the doc's present text, each with its own vector."""
    doc.refresh_from_db()
    chunks = list(doc.chunks.all())
    covered = all(doc.content[chunk.start : chunk.end] == chunk.text for chunk in chunks)
    in_order = [chunk.index for chunk in chunks] == list(range(len(chunks)))
    is_whole = "".join(doc.content.split()) == "".join("".join(chunk.text.split()) for chunk in chunks)
    return covered and in_order and is_whole and all(_has_own_vector(doc, chunk) for chunk in chunks)


def _has_own_vector(doc: Doc, chunk: DocChunk) -> bool:
    if chunk.embedding is None or chunk.context != doc.title:
        return False
    own = vector(f"{chunk.context}\n\n{chunk.text}".strip(), DIMENSIONS)
    return max(abs(one - other) for one, other in zip(chunk.embedding, own, strict=True)) < 1e-6


def tasks_of(model: type[models.Model]) -> models.QuerySet[EmbeddingTask]:
    return EmbeddingTask.objects.filter(content_type__model=model._meta.model_name)
