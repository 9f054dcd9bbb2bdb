"""How far the chunks of a page are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from embeddings import stats
from embeddings.stats import ChunkProgress
from project.content.models import Page

NOT_SPLIT = {"ready": 0, "total": 0, "failed": 0, "isSplit": False}


class ChunkProgressSerializer(serializers.Serializer):
    """How many chunks of a page have their vectors."""

    ready = serializers.IntegerField(help_text="Chunks whose vectors belong to their present texts.")
    total = serializers.IntegerField(help_text="All chunks.")
    failed = serializers.IntegerField(help_text="Chunks that are not tried again by themselves.")
    isSplit = serializers.BooleanField(help_text="False: the page waits to be split, so that the counts will change.")


def attach_chunk_progress(pages: Sequence[Page]) -> None:
    """Give each page `chunk_progress`, with two queries for all of them together."""
    found = stats.chunk_progress(pages)
    for page in pages:
        page.chunk_progress = found.get(page.pk)


@extend_schema_field(ChunkProgressSerializer)
class ChunkProgressField(serializers.Field):
    """{ready, total, failed, isSplit} of a page."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"read_only": True, "source": "*", **kwargs})

    def to_representation(self, page: Any) -> dict[str, Any]:
        if not hasattr(page, "chunk_progress"):
            attach_chunk_progress([page])
        progress: ChunkProgress | None = page.chunk_progress
        if progress is None:
            return NOT_SPLIT
        return {
            "ready": progress.ready,
            "total": progress.total,
            "failed": progress.failed,
            "isSplit": progress.is_split,
        }
