"""Embeddings that keep themselves current. What stands here may be imported before Django's apps are ready."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embeddings.context import Scope
    from embeddings.models import EmbeddingBatch


def by_person() -> Scope[None]:
    """Saves inside this block, or decorated function, are somebody's who waits: high priority, no delay."""
    from embeddings import context

    return context.by_person()


def batch(name: str, /, *, using: str | None = None, **parameters: Any) -> Scope[EmbeddingBatch]:
    """Saves inside this block, or decorated function, belong to a new EmbeddingBatch, which the block gets.

    It is of one database, `using` (default: the first of EMBEDDINGS["DATABASES"]); `parameters` are kept with it.
    """
    from embeddings import context

    return context.batch(name, using=using, **parameters)
